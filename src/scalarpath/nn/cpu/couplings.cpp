// Clebsch-Gordan couplings of the sums over neighbours, from the coefficients that are not zero: a linear map and its
// transpose, atom by atom.
#include <algorithm>
#include <utility>

#include "kernel.h"
#include "lanes.h"

namespace scalarpath {
namespace {

template <class T>
void couplings(const Couplings<T>& n, const Call<T>& call) {
    const int64_t *from_size = n.sum_size, *to_size = n.target_size;
    int64_t tensors = n.targets;
    if (n.transposed) {
        std::swap(from_size, to_size);
        tensors = n.sums;
    }
    const auto* entries = reinterpret_cast<const Entry<T>*>(n.entry);
#pragma omp parallel for num_threads(n.threads) schedule(static)
    for (int64_t i = 0; i < n.atoms; i++) {
        for (int64_t k = 0; k < tensors; k++) std::fill_n(call.values[k] + i * to_size[k], to_size[k], T(0));
        for (int64_t k = 0; k < n.entries; k++) {
            const Entry<T>& e = entries[k];
            std::pair<int64_t, int64_t> from{e.sum, e.row}, to{e.target, e.column};
            if (n.transposed) std::swap(from, to);
            const T* source = call.inputs[from.first] + i * from_size[from.first] + from.second;
            T* result = call.values[to.first] + i * to_size[to.first] + to.second;
            over_channels<T>(e.channels, [&](auto zero, int64_t c) {
                using V = decltype(zero);
                store(result + c, load<V>(result + c) + load<V>(source + c) * n.coefficient[k]);
            });
        }
    }
}

}  // namespace
}  // namespace scalarpath

KERNEL(couplings, Couplings)
