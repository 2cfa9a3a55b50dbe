// Descriptors of the neighbourhood of every atom (heads/descriptors.py), with their first and second derivatives.
//
// One function makes all three: atom by atom it adds up sums over neighbours, turns them into descriptors, and, given
// derivatives g by these, goes back through both to its inputs. On numbers with tangents the second half gives the
// derivative of the first derivatives, and the first half that by g.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "dual.h"
#include "share_out.h"

namespace scalarpath {
namespace {

constexpr int64_t SHELLS = 16, MOMENTS = 12;  // most shells; sums of w, w x, w x^2, w u, and w u u (xx yy zz xy xz yz)

struct Neighbourhood {
    int64_t atoms, edges, shells, species, threads;
    const int64_t *first_edge, *neighbour, *element;
};

// cutoff of every edge [E], or null where all have the one; F [E, K], the shells, which the first call fills
template <class T>
struct Known {
    const T* cutoffs;
    T cutoff;
    T* shells;
};

// r [E], u [E, 3], radii R [K], inverse widths 1 / s [K], weights q [K, S]
template <class T>
struct Inputs {
    const T *r, *u, *radii, *inverse, *weights;
};

// nbar [S, K], mean and spread [S, K + 3]
template <class T>
struct Statistics {
    const T *coordination, *mean, *spread;
};

template <class T>
struct Results {
    T *descriptors, *r, *u, *radii, *inverse, *weights;
};

// What one edge contributes: F_k and u of its distance, x = r / cutoff.
template <class S>
struct Edge {
    S r, x, inverse_cutoff, unit[3], envelope, slope, shell[SHELLS], past[SHELLS];  // past: R - r
};

// F = sigmoid((R - r) / s), from its value where that is known
template <class T>
inline T shell_of(T argument, T& known, bool fill) {
    return fill ? known = T(1) / (T(1) + std::exp(-argument)) : known;
}
template <class T>
inline Dual<T> shell_of(Dual<T> argument, T& known, bool) {
    return {known, known * (T(1) - known) * argument.tangent};
}

template <class T, class S>
Edge<S> edge_of(const Neighbourhood& n, const Inputs<T>& in, const Inputs<T>& moved, const Known<T>& known,
                const S* radii, const S* inverse, bool fill, int64_t e) {
    Edge<S> out;
    read(out.r, in.r, moved.r, e);
    for (int a = 0; a < 3; a++) read(out.unit[a], in.u, moved.u, 3 * e + a);
    const T cutoff = known.cutoffs ? known.cutoffs[e] : known.cutoff;
    out.inverse_cutoff = S(T(1) / cutoff);
    const S x = out.x = out.r * out.inverse_cutoff;
    const S x2 = x * x, x4 = x2 * x2, rest = S(1) - x;
    const bool inside = in.r[e] < cutoff;
    out.envelope = inside ? S(1) - x4 * x2 * (S(28) - x * (S(48) - S(21) * x)) : S(0);
    out.slope = inside ? S(-168) * x4 * x * rest * rest : S(0);
    for (int64_t k = 0; k < n.shells; k++) {
        out.past[k] = radii[k] - out.r;
        out.shell[k] = shell_of(out.past[k] * inverse[k], known.shells[e * n.shells + k], fill);
    }
    return out;
}

template <class T, class S>
void descriptors(const Neighbourhood& n, const Known<T>& known, const Inputs<T>& in, const Inputs<T>& moved,
                 const Statistics<T>& usual, const T* g, const Results<T>& out) {
    const int64_t K = n.shells, D = K + 3, parameters = K * (2 + n.species);
    std::vector<S> radii(K), inverse(K), weights(K * n.species);
    for (int64_t k = 0; k < K; k++) {
        read(radii[k], in.radii, moved.radii, k);
        read(inverse[k], in.inverse, moved.inverse, k);
    }
    for (int64_t k = 0; k < K * n.species; k++) read(weights[k], in.weights, moved.weights, k);
    std::vector<S> by_parameters(n.threads * parameters, S(0));

    share_out(n.atoms, n.first_edge, n.threads, [&](int64_t thread, int64_t begin, int64_t end) {
        S* by_radii = by_parameters.data() + thread * parameters;
        S *by_inverse = by_radii + K, *by_weights = by_inverse + K;
        std::vector<Edge<S>> edges;
        for (int64_t i = begin; i < end; i++) {
            const int64_t first = n.first_edge[i], last = n.first_edge[i + 1], z = n.element[i];
            // 1. sums over neighbours
            S m[MOMENTS], number[SHELLS];
            std::fill_n(m, MOMENTS, S(0));
            std::fill_n(number, K, S(0));
            edges.clear();
            for (int64_t e = first; e < last; e++) {
                edges.push_back(edge_of<T, S>(n, in, moved, known, radii.data(), inverse.data(), !g, e));
                const Edge<S>& edge = edges.back();
                const int64_t zj = n.element[n.neighbour[e]];
                for (int64_t k = 0; k < K; k++)
                    number[k] += weights[k * n.species + zj] * edge.shell[k] * edge.envelope;
                const S w = edge.shell[K - 1] * edge.envelope, *u = edge.unit;
                m[0] += w;
                m[1] += w * edge.x;
                m[2] += w * edge.x * edge.x;
                for (int a = 0; a < 3; a++) {
                    const S wu = w * u[a];
                    m[3 + a] += wu;
                    m[6 + a] += wu * u[a];
                }
                m[9] += w * u[0] * u[1];
                m[10] += w * u[0] * u[2];
                m[11] += w * u[1] * u[2];
            }
            // 2. raw descriptors, numerator over denominator, standardised
            const T* coordination = usual.coordination + z * K;
            const S norm = m[0] + S(coordination[K - 1] + T(1));
            S over[SHELLS + 3], under[SHELLS + 3], by_raw[SHELLS + 3];
            for (int64_t k = 0; k < K; k++) {
                over[k] = number[k] - S(coordination[k]);
                under[k] = number[k] + S(coordination[k] + T(1));
            }
            over[K] = m[0] * m[2] - m[1] * m[1];
            over[K + 1] = m[3] * m[3] + m[4] * m[4] + m[5] * m[5];
            over[K + 2] = m[6] * m[6] + m[7] * m[7] + m[8] * m[8] +
                          S(2) * (m[9] * m[9] + m[10] * m[10] + m[11] * m[11]) - m[0] * m[0] * S(T(1) / T(3));
            for (int64_t d = K; d < D; d++) under[d] = norm * norm;
            for (int64_t d = 0; d < D; d++) {
                const T spread = usual.spread[z * D + d];
                const S scaled = (over[d] / under[d] - S(usual.mean[z * D + d])) / S(spread);
                if (out.descriptors) out.descriptors[i * D + d] = highest(arcsinh(scaled));
                if (g) by_raw[d] = S(g[i * D + d] / spread) / square_root(S(1) + scaled * scaled);
            }
            if (!g) continue;
            // 3. back to the sums
            S by_m[MOMENTS], by_number[SHELLS], by_over[SHELLS + 3], by_norm = S(0);
            for (int64_t d = 0; d < D; d++) {
                by_over[d] = by_raw[d] / under[d];
                const S by_under = S(0) - by_over[d] * over[d] / under[d];
                if (d < K)
                    by_number[d] = by_over[d] + by_under;
                else
                    by_norm += S(2) * by_under * norm;
            }
            by_m[0] = by_norm + by_over[K] * m[2] - by_over[K + 2] * m[0] * S(T(2) / T(3));
            by_m[1] = S(-2) * by_over[K] * m[1];
            by_m[2] = by_over[K] * m[0];
            for (int a = 0; a < 3; a++) {
                by_m[3 + a] = S(2) * by_over[K + 1] * m[3 + a];
                by_m[6 + a] = S(2) * by_over[K + 2] * m[6 + a];
                by_m[9 + a] = S(4) * by_over[K + 2] * m[9 + a];
            }
            // 4. back to the edges
            for (int64_t e = first; e < last; e++) {
                const Edge<S>& edge = edges[e - first];
                const S w = edge.shell[K - 1] * edge.envelope, x = edge.x, *u = edge.unit;
                const S across[3] = {by_m[9] * u[1] + by_m[10] * u[2], by_m[9] * u[0] + by_m[11] * u[2],
                                     by_m[10] * u[0] + by_m[11] * u[1]};
                S by_w = by_m[0] + x * (by_m[1] + by_m[2] * x);
                for (int a = 0; a < 3; a++) {
                    const S along = by_m[6 + a] * u[a];
                    by_w += u[a] * (by_m[3 + a] + along + S(T(0.5)) * across[a]);
                    out.u[3 * e + a] = highest(w * (by_m[3 + a] + S(2) * along + across[a]));
                }
                S by_x = w * (by_m[1] + S(2) * by_m[2] * x), by_r = S(0), by_envelope = S(0);
                const int64_t zj = n.element[n.neighbour[e]];
                for (int64_t k = 0; k < K; k++) {
                    const S by_product = by_number[k] * weights[k * n.species + zj] + (k == K - 1 ? by_w : S(0));
                    by_weights[k * n.species + zj] += by_number[k] * edge.shell[k] * edge.envelope;
                    by_envelope += by_product * edge.shell[k];
                    const S by_argument = by_product * edge.envelope * edge.shell[k] * (S(1) - edge.shell[k]);
                    by_radii[k] += by_argument * inverse[k];
                    by_inverse[k] += by_argument * edge.past[k];
                    by_r -= by_argument * inverse[k];
                }
                by_x += by_envelope * edge.slope;
                out.r[e] = highest(by_r + by_x * edge.inverse_cutoff);
            }
        }
    });
    if (!g) return;
    for (int64_t p = 0; p < parameters; p++) {
        S total(0);
        for (int64_t t = 0; t < n.threads; t++) total += by_parameters[t * parameters + p];
        (p < K ? out.radii[p] : p < 2 * K ? out.inverse[p - K] : out.weights[p - 2 * K]) = highest(total);
    }
}

}  // namespace
}  // namespace scalarpath

using namespace scalarpath;

// g, moved and out.descriptors may be null: descriptors alone; derivatives by the inputs; these where the inputs move.
#define FOR_TYPE(T, type)                                                                                            \
    extern "C" void descriptors_##type(const Neighbourhood* n, const T* cutoffs, double cutoff, T* shells,           \
                                       const Inputs<T>* in, const Inputs<T>* moved, const Statistics<T>* usual,      \
                                       const T* g, const Results<T>* out) {                                          \
        const Known<T> known{cutoffs, T(cutoff), shells};                                                            \
        if (moved)                                                                                                   \
            descriptors<T, Dual<T>>(*n, known, *in, *moved, *usual, g, *out);                                        \
        else                                                                                                         \
            descriptors<T, T>(*n, known, *in, *in, *usual, g, *out);                                                 \
    }
FOR_TYPE(float, float32)
FOR_TYPE(double, float64)
