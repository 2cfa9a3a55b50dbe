// x sigmoid(x) with its first and second derivatives, in one pass over the numbers each.
#include <algorithm>

#include "elementary.h"
#include "kernel.h"
#include "lanes.h"

namespace scalarpath {
namespace {

constexpr int64_t CHUNK = 4096;  // numbers that a thread takes at once

template <class T, class N>
void silu(const SiluKernel<T>& n, const Call<T>& call) {
#pragma omp parallel for num_threads(n.threads) schedule(static)
    for (int64_t begin = 0; begin < n.size; begin += CHUNK) {
        const N row = N{call.inputs[0], call.tangents ? call.tangents[0] : nullptr}.from(begin);
        over_channels<T>(std::min(CHUNK, n.size - begin), [&](auto zero, int64_t k) {
            using V = decltype(zero);
            const auto x = row.template get<V>(k);
            const auto s = sigmoid<T>(x);
            if (call.values) store(call.values[0] + begin + k, result(x * s));
            if (call.gradients) {
                const auto slope = s * (x * (T(1) - s) + T(1));
                store(call.by_inputs[0] + begin + k, result(slope * load<V>(call.gradients[0] + begin + k)));
            }
        });
    }
}

}  // namespace
}  // namespace scalarpath

KERNEL_ON_DUALS(silu, SiluKernel)
