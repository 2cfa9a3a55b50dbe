// Embedding energies of atoms from their descriptors (EmbeddingReadout in heads/pgs.py), with their first and second
// derivatives.
//
//     E = sum_c sum_k w_k [a_ck sin(omega_k t_c) + b_ck (cos(omega_k t_c) - 1)],  t = tanh(d / 2) - t0,
//
// omega_k = k pi / 2, k = 1..K. As in descriptors.cpp, numbers with tangents give the second derivatives.
#include <cstdint>
#include <vector>

#include "elementary.h"
#include "share_out.h"

namespace scalarpath {
namespace {

struct Atoms {
    int64_t atoms, channels, orders, species, threads;
    const int64_t *element, *first_edge;
};

// d [atoms, C], then a and b of every channel [species, C, 2 K]
enum Input { DESCRIPTORS, COEFFICIENTS };

// weight [2 K], of both kinds; origin t0 [species, C]
template <class T, class N>
void embedding_energy(const Atoms& n, const T* weight, const T* origin, const T* const* in, const T* const* moved,
                      const T* g, T* values, T* const* by) {
    using S = typename N::template Of<T>;
    const T turn = T(1.57079632679489661923);
    const int64_t C = n.channels, K = n.orders;
    const N d{in[DESCRIPTORS], moved ? moved[DESCRIPTORS] : nullptr};
    const N all{in[COEFFICIENTS], moved ? moved[COEFFICIENTS] : nullptr};
    const bool learning = g && by[COEFFICIENTS];
    std::vector<std::vector<T>> own(n.threads, std::vector<T>(learning ? n.species * C * 2 * K : 0, T(0)));
    share_out(n.atoms, n.first_edge, n.threads, [&](int64_t thread, int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) {
            S energy{};
            for (int64_t c = 0; c < C; c++) {
                const int64_t at = (n.element[i] * C + c) * 2 * K;
                const S h = hyperbolic_tangent<T>(d.template get<T>(i * C + c) * T(0.5));
                const S angle = (h - origin[n.element[i] * C + c]) * turn;
                const Wave<S> base{sine(angle), cosine(angle)};
                Wave<S> wave = base;
                S slope{};
                for (int64_t k = 0; k < K; k++) {
                    const S a = all.template get<T>(at + k) * weight[k];
                    const S b = all.template get<T>(at + K + k) * weight[K + k];
                    energy += a * wave.sine + b * (wave.cosine - T(1));
                    slope += (a * wave.cosine - b * wave.sine) * (T(k + 1) * turn);
                    if (learning) {
                        own[thread][at + k] += highest(wave.sine * (g[i] * weight[k]));
                        own[thread][at + K + k] += highest((wave.cosine - T(1)) * (g[i] * weight[K + k]));
                    }
                    wave = wave * base;
                }
                if (g) by[DESCRIPTORS][i * C + c] = highest(slope * (T(1) - h * h) * (T(0.5) * g[i]));
            }
            if (values) values[i] = highest(energy);
        }
    });
    for (int64_t p = 0; learning && p < n.species * C * 2 * K; p++) {
        T total(0);
        for (const std::vector<T>& part : own) total += part[p];
        by[COEFFICIENTS][p] = total;
    }
}

}  // namespace
}  // namespace scalarpath

using namespace scalarpath;

#define FOR_TYPE(T, type)                                                                                           \
    extern "C" void embedding_energy_##type(const Atoms* n, const T* weight, const T* origin, const T* const* in,   \
                                            const T* const* moved, const T* const* g, T* const* values,             \
                                            T* const* by) {                                                         \
        if (moved)                                                                                                  \
            embedding_energy<T, Moving<T>>(*n, weight, origin, in, moved, g ? *g : nullptr,                         \
                                           values ? *values : nullptr, by);                                         \
        else                                                                                                        \
            embedding_energy<T, AtRest<T>>(*n, weight, origin, in, moved, g ? *g : nullptr,                         \
                                           values ? *values : nullptr, by);                                         \
    }
FOR_TYPE(float, float32)
FOR_TYPE(double, float64)
