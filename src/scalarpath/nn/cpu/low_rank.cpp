// Products with a narrow matrix, for which general libraries read their large factor slowly.
#include <cstdint>

#include "lanes.h"

namespace scalarpath {
namespace {

// out[r] = sum_c g[c] v[r, c] for R rows of v, one after the other in memory
template <class T, int R>
void products(int64_t width, const T* g, const T* v, T* out) {
    typename Lanes<T>::type total[R] = {};
    over_channels<T>(width, [&](auto zero, int64_t c) {
        using V = decltype(zero);
        const V gv = load<V>(g + c);
        for (int r = 0; r < R; r++) add(total[r], gv * load<V>(v + r * width + c));
    });
    for (int r = 0; r < R; r++) out[r] = sum<T>(total[r]);
}

// g [rows, width] times the transpose of v [rank, width]: [rows, rank]
template <class T>
void narrow_product(int64_t rows, int64_t width, int64_t rank, int64_t threads, const T* g, const T* v, T* out) {
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t k = 0; k < rows; k++) {
        int64_t r = 0;
        for (; r + 8 <= rank; r += 8) products<T, 8>(width, g + k * width, v + r * width, out + k * rank + r);
        for (; r < rank; r++) products<T, 1>(width, g + k * width, v + r * width, out + k * rank + r);
    }
}

}  // namespace
}  // namespace scalarpath

#define FOR_TYPE(T, type)                                                                                     \
    extern "C" void narrow_product_##type(int64_t rows, int64_t width, int64_t rank, int64_t threads, const T* g, \
                                          const T* v, T* out) {                                               \
        scalarpath::narrow_product(rows, width, rank, threads, g, v, out);                                    \
    }
FOR_TYPE(float, float32)
FOR_TYPE(double, float64)
