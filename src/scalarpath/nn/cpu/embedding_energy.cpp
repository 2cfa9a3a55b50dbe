// Embedding energies of atoms from their descriptors (EmbeddingReadout in heads/pgs.py), with their first and second
// derivatives.
//
//     E = sum_c sum_k w_k [a_ck sin(omega_k t_c) + b_ck (cos(omega_k t_c) - 1)],  t = tanh(d / 2) - t0,
//
// omega_k = k pi / 2, k = 1..K. As in descriptors.cpp, dual numbers give the second derivatives.
#include <cstdint>
#include <vector>

#include "elementary.h"
#include "kernel.h"
#include "share_out.h"

namespace scalarpath {
namespace {

// d [atoms, C], then a and b of every channel [species, C, 2 K]
enum Input { DESCRIPTORS, COEFFICIENTS };

// weight [2 K], of both kinds; origin t0 [species, C]
template <class T, class N>
void embedding_energy(const Energies<T>& n, const Call<T>& call) {
    const T* g = call.gradients ? call.gradients[0] : nullptr;
    T* values = call.values ? call.values[0] : nullptr;
    T* const* by = call.by_inputs;
    const T *weight = n.weight, *origin = n.origin;
    using S = typename N::template Of<T>;
    const T turn = T(1.57079632679489661923);
    const int64_t C = n.channels, K = n.orders;
    const auto input = [&](int64_t k) { return N{call.inputs[k], call.tangents ? call.tangents[k] : nullptr}; };
    const N d = input(DESCRIPTORS), all = input(COEFFICIENTS);
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
                        own[thread][at + k] += result(wave.sine * (g[i] * weight[k]));
                        own[thread][at + K + k] += result((wave.cosine - T(1)) * (g[i] * weight[K + k]));
                    }
                    wave = wave * base;
                }
                if (g) by[DESCRIPTORS][i * C + c] = result(slope * (T(1) - h * h) * (T(0.5) * g[i]));
            }
            if (values) values[i] = result(energy);
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

KERNEL_ON_DUALS(embedding_energy, Energies)
