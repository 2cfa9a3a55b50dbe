// Descriptors of the neighbourhood of every atom (heads/descriptors.py), with their first and second derivatives.
//
// One function does all three runs of a call (twice_differentiable.py). Atom by atom it adds up sums over neighbours and
// turns them into descriptors; given gradients g by these, it goes back through both steps to its inputs (vjp). On dual
// numbers (dual.h) the first half gives the jvp, and the second half the jvp of the vjp.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "edge_blocks.h"
#include "elementary.h"
#include "kernel.h"
#include "share_out.h"

namespace scalarpath {
namespace {

constexpr int64_t SHELLS = 16, MOMENTS = 12;  // most shells; sums of w, w x, w x^2, w u, and w u u (xx yy zz xy xz yz)

// r [E], u [E, 3], radii R [K], inverse widths 1 / s [K], weights q [K, S]
enum Input { DISTANCES, UNITS, RADII, INVERSE, WEIGHTS, INPUTS };

// What some edges contribute: F_k and u of their distances, x = r / cutoff. Nothing where there is no edge.
template <class T, class N>
struct Edges {
    using Wide = typename Lanes<T>::type;
    using S = typename N::template Of<Wide>;
    Wide inverse_cutoff;
    S r, x, unit[3], envelope, slope, shell[SHELLS], past[SHELLS];  // past: R - r

    Edges(const Descriptors<T>& n, const N* in, const Block<T>& block) {
        const Wide cutoff = block.template gathered<Plain<T>>(
            [&](int64_t e, int64_t) { return n.cutoffs ? n.cutoffs[e] : T(n.cutoff); });
        inverse_cutoff = T(1) / cutoff;
        r = block.template gathered<N>([&](int64_t e, int64_t) { return in[DISTANCES].template get<T>(e); });
        for (int a = 0; a < 3; a++)
            unit[a] = block.template gathered<N>([&](int64_t e, int64_t) { return in[UNITS].template get<T>(3 * e + a); });
        x = r * inverse_cutoff;
        const Wide exists = block.template gathered<Plain<T>>(
            [&](int64_t, int64_t lane) { return lane < block.filled ? T(1) : T(0); });
        const Wide inside = primal(r) < cutoff ? exists : Wide{};
        const S x2 = x * x, x4 = x2 * x2, rest = T(1) - x;
        envelope = (T(1) - x4 * x2 * (T(28) - x * (T(48) - T(21) * x))) * inside;
        slope = x4 * x * rest * rest * T(-168) * inside;
        for (int64_t k = 0; k < n.shells; k++) {
            past[k] = in[RADII].template get<T>(k) - r;
            shell[k] = sigmoid<T>(past[k] * in[INVERSE].template get<T>(k));
        }
    }
};

// cutoffs [E], or null where all edges have the one; coordination nbar [S, K], mean and spread [S, K + 3].
template <class T, class N>
void descriptors(const Descriptors<T>& n, const Call<T>& call) {
    const T* g = call.gradients ? call.gradients[0] : nullptr;
    T* out = call.values ? call.values[0] : nullptr;
    T* const* by = call.by_inputs;
    using S = typename N::template Of<T>;
    using SW = typename N::template Of<typename Lanes<T>::type>;
    const int64_t K = n.shells, D = K + 3, parameters = K * (2 + n.species);
    std::vector<N> in;
    for (int64_t k = 0; k < INPUTS; k++) in.push_back(N{call.inputs[k], call.tangents ? call.tangents[k] : nullptr});
    const bool learning = g && (by[RADII] || by[INVERSE] || by[WEIGHTS]);
    std::vector<S> by_parameters(n.threads * parameters, S{});

    share_out(n.atoms, n.first_edge, n.threads, [&](int64_t thread, int64_t begin, int64_t end) {
        S* by_radii = by_parameters.data() + thread * parameters;
        S *by_inverse = by_radii + K, *by_weights = by_inverse + K;
        Blocks<T> blocks(n.species, n.element, n.first_edge, n.neighbour);
        std::vector<Edges<T, N>> all;
        const auto weight = [&](int64_t k, int64_t species) { return in[WEIGHTS].template get<T>(k * n.species + species); };
        for (int64_t i = begin; i < end; i++) {
            const int64_t z = n.element[i];
            // 1. sums over neighbours
            SW parts[MOMENTS] = {}, counts[SHELLS] = {};
            all.clear();
            for (const Block<T>& block : blocks.of(i)) {
                all.emplace_back(n, in.data(), block);
                const Edges<T, N>& edges = all.back();
                for (int64_t k = 0; k < K; k++) counts[k] += weight(k, block.species) * edges.shell[k] * edges.envelope;
                const SW w = edges.shell[K - 1] * edges.envelope, *u = edges.unit;
                parts[0] += w;
                parts[1] += w * edges.x;
                parts[2] += w * edges.x * edges.x;
                for (int a = 0; a < 3; a++) {
                    const SW wu = w * u[a];
                    parts[3 + a] += wu;
                    parts[6 + a] += wu * u[a];
                }
                parts[9] += w * u[0] * u[1];
                parts[10] += w * u[0] * u[2];
                parts[11] += w * u[1] * u[2];
            }
            S m[MOMENTS], number[SHELLS];
            for (int64_t k = 0; k < MOMENTS; k++) m[k] = sum<T>(parts[k]);
            for (int64_t k = 0; k < K; k++) number[k] = sum<T>(counts[k]);
            // 2. raw descriptors, numerator over denominator, standardised
            const T* coordination = n.coordination + z * K;
            const S norm = m[0] + (coordination[K - 1] + T(1));
            S over[SHELLS + 3], under[SHELLS + 3], by_raw[SHELLS + 3];
            for (int64_t k = 0; k < K; k++) {
                over[k] = number[k] - coordination[k];
                under[k] = number[k] + (coordination[k] + T(1));
            }
            over[K] = m[0] * m[2] - m[1] * m[1];
            over[K + 1] = m[3] * m[3] + m[4] * m[4] + m[5] * m[5];
            over[K + 2] = m[6] * m[6] + m[7] * m[7] + m[8] * m[8] +
                          T(2) * (m[9] * m[9] + m[10] * m[10] + m[11] * m[11]) - m[0] * m[0] * (T(1) / T(3));
            for (int64_t d = K; d < D; d++) under[d] = norm * norm;
            for (int64_t d = 0; d < D; d++) {
                const T spread = n.spread[z * D + d];
                const S scaled = (over[d] / under[d] - n.mean[z * D + d]) / spread;
                if (out) out[i * D + d] = result(arcsinh(scaled));
                if (g) by_raw[d] = g[i * D + d] / spread / square_root(T(1) + scaled * scaled);
            }
            if (!g) continue;
            // 3. back to the sums
            S by_m[MOMENTS], by_number[SHELLS], by_over[SHELLS + 3], by_norm{};
            for (int64_t d = 0; d < D; d++) {
                by_over[d] = by_raw[d] / under[d];
                const S by_under = by_over[d] * over[d] / under[d] * T(-1);
                if (d < K)
                    by_number[d] = by_over[d] + by_under;
                else
                    by_norm += T(2) * by_under * norm;
            }
            by_m[0] = by_norm + by_over[K] * m[2] - by_over[K + 2] * m[0] * T(2) / T(3);
            by_m[1] = T(-2) * by_over[K] * m[1];
            by_m[2] = by_over[K] * m[0];
            for (int a = 0; a < 3; a++) {
                by_m[3 + a] = T(2) * by_over[K + 1] * m[3 + a];
                by_m[6 + a] = T(2) * by_over[K + 2] * m[6 + a];
                by_m[9 + a] = T(4) * by_over[K + 2] * m[9 + a];
            }
            // 4. back to the edges
            int64_t next = 0;
            for (const Block<T>& block : blocks.of(i)) {
                const Edges<T, N>& edges = all[next++];
                const SW w = edges.shell[K - 1] * edges.envelope, x = edges.x, *u = edges.unit;
                const SW across[3] = {by_m[9] * u[1] + by_m[10] * u[2], by_m[9] * u[0] + by_m[11] * u[2],
                                      by_m[10] * u[0] + by_m[11] * u[1]};
                SW by_w = by_m[0] + x * (by_m[1] + by_m[2] * x);
                for (int a = 0; a < 3; a++) {
                    const SW along = by_m[6 + a] * u[a];
                    by_w += u[a] * (by_m[3 + a] + along + T(0.5) * across[a]);
                    block.scatter(result(w * (by_m[3 + a] + T(2) * along + across[a])),
                                  [&](int64_t e, T value) { by[UNITS][3 * e + a] = value; });
                }
                SW by_x = w * (by_m[1] + T(2) * by_m[2] * x), by_r{}, by_envelope{};
                for (int64_t k = 0; k < K; k++) {
                    SW by_product = SW{} + by_number[k] * weight(k, block.species);
                    if (k == K - 1) by_product += by_w;
                    by_envelope += by_product * edges.shell[k];
                    const SW by_argument = by_product * edges.envelope * edges.shell[k] * (T(1) - edges.shell[k]);
                    const SW by_distance = by_argument * in[INVERSE].template get<T>(k) * T(-1);
                    by_r += by_distance;
                    if (!learning) continue;
                    by_radii[k] += sum<T>(by_distance) * T(-1);
                    by_inverse[k] += sum<T>(by_argument * edges.past[k]);
                    by_weights[k * n.species + block.species] += by_number[k] * sum<T>(edges.shell[k] * edges.envelope);
                }
                by_x += by_envelope * edges.slope;
                block.scatter(result(by_r + by_x * edges.inverse_cutoff),
                              [&](int64_t e, T value) { by[DISTANCES][e] = value; });
            }
        }
    });
    for (int64_t p = 0; learning && p < parameters; p++) {
        const int64_t which = std::min(p / K, int64_t(2)), k = p - which * K;
        T total(0);
        for (int64_t t = 0; t < n.threads; t++) total += result(by_parameters[t * parameters + p]);
        if (by[RADII + which]) by[RADII + which][k] = total;
    }
}

}  // namespace
}  // namespace scalarpath

KERNEL_ON_DUALS(descriptors, Descriptors)
