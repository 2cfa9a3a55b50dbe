// Low-rank features of pairs of atoms from a band of short waves (EdgeBand in heads/pgs.py), with their first and second
// derivatives.
//
//     b[q] = a[q] sum_m f_m A[m, q],  f_m = sin(k_m s) u(x) / s,  k_m = (first + m + 1) pi / cutoff
//
// with x = r / (cutoff of the edge), s = x cutoff, and amplitudes a of the two elements. As in descriptors.cpp,
// dual numbers give the second derivatives.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "edge_blocks.h"
#include "elementary.h"
#include "kernel.h"

namespace scalarpath {
namespace {

// r [pairs], A [size, rank], a [kinds, rank]
enum Input { DISTANCES, MIX, AMPLITUDES };

// kinds: of pairs of elements; kind [pairs], or null where there is one; cutoffs [pairs], or null where all are equal;
// frequencies k [size].
template <class T, class N>
void edge_band(const Band<T>& n, const Call<T>& call) {
    const T* g = call.gradients ? call.gradients[0] : nullptr;
    T* values = call.values ? call.values[0] : nullptr;
    T* const* by = call.by_inputs;
    const T cutoff = T(n.cutoff), *cutoffs = n.cutoffs;
    const int64_t first = std::lround(n.frequencies[0] * cutoff / T(3.14159265358979323846)) - 1;
    using Wide = typename Lanes<T>::type;
    using S = typename N::template Of<Wide>;
    const int64_t M = n.size, Q = n.rank, parameters = (M + n.kinds) * Q, lanes = Block<T>::size;
    const auto input = [&](int64_t k) { return N{call.inputs[k], call.tangents ? call.tangents[k] : nullptr}; };
    const bool learning = g && (by[MIX] || by[AMPLITUDES]);
    std::vector<std::vector<T>> own(n.threads, std::vector<T>(learning ? parameters : 0, T(0)));
#pragma omp parallel for num_threads(n.threads) schedule(static, 1)
    for (int64_t thread = 0; thread < n.threads; thread++) {
        const int64_t blocks = (n.pairs + lanes - 1) / lanes;
        std::vector<S> band(M), slope(M), by_mixed(Q);
        std::vector<S> by_mix(learning ? M * Q : 0, S{});
        for (int64_t b = blocks * thread / n.threads; b < blocks * (thread + 1) / n.threads; b++) {
            Block<T> block{{}, std::min(lanes, n.pairs - b * lanes), 0};
            for (int64_t lane = 0; lane < lanes; lane++) block.edge[lane] = std::min(b * lanes + lane, n.pairs - 1);
            const Wide scale = block.template gathered<Plain<T>>(
                [&](int64_t e, int64_t) { return cutoffs ? cutoff / cutoffs[e] : T(1); });
            const S r = block.template gathered<N>(
                [&](int64_t e, int64_t) { return input(DISTANCES).template get<T>(e); });
            const S s = r * scale, x = s * (T(1) / cutoff), x2 = x * x, x4 = x2 * x2, rest = T(1) - x;
            const Wide inside = primal(x) < T(1) ? Wide{} + T(1) : Wide{};
            const S q = (T(1) - x4 * x2 * (T(28) - x * (T(48) - T(21) * x))) * inside / s;
            const S q1 = (x4 * x * rest * rest * (T(-168) / cutoff) * inside - q) / s;
            // 1. the band, and its derivatives by s
            const Wave<S> base = wave<T>(x);
            Wave<S> at = base;
            for (int64_t k = 0; k < first; k++) at = at * base;
            for (int64_t m = 0; m < M; m++) {
                const T k = T(first + m + 1) * T(3.14159265358979323846) / cutoff;
                band[m] = at.sine * q;
                slope[m] = at.cosine * q * k + at.sine * q1;
                at = at * base;
            }
            // 2. mixed, and back
            S by_s{};
            for (int64_t p = 0; p < Q; p++) {
                S mixed{};
                for (int64_t m = 0; m < M; m++) mixed += band[m] * input(MIX).template get<T>(m * Q + p);
                const S a = block.template gathered<N>([&](int64_t e, int64_t) {
                    return input(AMPLITUDES).template get<T>((n.kind ? n.kind[e] : 0) * Q + p);
                });
                if (values) block.scatter(result(mixed * a), [&](int64_t e, T v) { values[e * Q + p] = v; });
                if (!g) continue;
                const Wide given = block.template gathered<Plain<T>>(
                    [&](int64_t e, int64_t lane) { return lane < block.filled ? g[e * Q + p] : T(0); });
                by_mixed[p] = a * given;
                if (!learning) continue;
                for (int64_t m = 0; m < M; m++) by_mix[m * Q + p] += band[m] * by_mixed[p];
                block.scatter(result(mixed * given), [&](int64_t e, T v) {
                    own[thread][(M + (n.kind ? n.kind[e] : 0)) * Q + p] += v;
                });
            }
            if (!g) continue;
            for (int64_t m = 0; m < M; m++) {
                S by_band{};
                for (int64_t p = 0; p < Q; p++) by_band += by_mixed[p] * input(MIX).template get<T>(m * Q + p);
                by_s += by_band * slope[m];
            }
            block.scatter(result(by_s * scale), [&](int64_t e, T v) { by[DISTANCES][e] = v; });
        }
        for (int64_t p = 0; p < M * Q && learning; p++) own[thread][p] = result(sum<T>(by_mix[p]));
    }
    for (int64_t p = 0; p < parameters && learning; p++) {
        T* to = p < M * Q ? by[MIX] : by[AMPLITUDES];
        T total(0);
        for (const std::vector<T>& part : own) total += part[p];
        if (to) to[p < M * Q ? p : p - M * Q] = total;
    }
}

}  // namespace
}  // namespace scalarpath

KERNEL_ON_DUALS(edge_band, Band)
