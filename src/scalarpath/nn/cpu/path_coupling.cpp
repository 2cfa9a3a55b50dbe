// Clebsch-Gordan couplings of sums over neighbours: for every path a small matrix on components, the same for all
// channels, of which only the entries that are not zero are kept, row by row.
//
// out[target][n, row, c] = sum over the entries of the row of coefficient in[source][n, column, c]
#include <cstdint>

#include "kernel.h"
#include "lanes.h"

namespace scalarpath {
namespace {

template <class T>
void path_coupling(const PathCoupling<T>& p) {
    const auto* paths = reinterpret_cast<const CoupledPath<T>*>(p.path);
#pragma omp parallel for num_threads(p.threads) if (p.threads > 1)
    for (int64_t n = 0; n < p.atoms; n++)
        for (const auto* q = paths; q < paths + p.paths; q++) {
            const T* from = p.inputs[q->source] + n * q->source_atom + q->source_start;
            T* to = p.outputs[q->target] + n * q->target_atom + q->target_start;
            for (int64_t row = 0; row < q->rows; row++, to += q->target_row) {
                const int64_t first = p.first_entry[q->first_row + row], end = p.first_entry[q->first_row + row + 1];
                over_channels<T>(q->channels, [&](auto total, int64_t c) {
                    for (int64_t k = first; k < end; k++)
                        total += p.coefficient[k] * load<decltype(total)>(from + p.column[k] * q->source_row + c);
                    store(to + c, total);
                });
            }
        }
}

}  // namespace
}  // namespace scalarpath

KERNEL_OF_TYPES(path_coupling, PathCoupling, path_coupling<Number>(*n);)
