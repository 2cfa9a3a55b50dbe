// Energies of a fitted linear potential (heads/linear.py), with their first and second derivatives.
//
//     E = 1/2 sum_j P(r_ij) + sum_d F_d(rho_d) + sum_l sum_kk' M_lkk' A_kl . A_k'l
//
// with densities rho and A over the neighbours. Atom by atom they are added up; given gradients by the energies, the
// second half goes back to the edges. As in descriptors.cpp, dual numbers give the second derivatives.
#include <cmath>
#include <cstdint>
#include <vector>

#include "edge_blocks.h"
#include "elementary.h"
#include "kernel.h"
#include "share_out.h"

namespace scalarpath {
namespace {

constexpr int64_t SINES = 32, EXPONENTS = 8, HARMONICS = 25;  // at most
constexpr double PI = 3.14159265358979323846;

// r [E], u [E, 3]
enum Input { DISTANCES, UNITS };

// dY_q / du_axis contains slope * Y_p, and Y_q itself, of degree l, u_axis slope / l * Y_p, since u . grad Y = l Y.
template <class T>
struct Slope {
    int64_t axis, p, q;
    T slope, share;
};

// Those that are not zero, of slopes [3, L^2, (L + 1)^2], by rising q.
template <class T>
std::vector<Slope<T>> slopes_of(const T* slopes, int64_t l_max) {
    const int64_t lower = l_max * l_max, all = (l_max + 1) * (l_max + 1);
    std::vector<Slope<T>> found;
    for (int64_t l = 1; l <= l_max; l++)
        for (int64_t q = l * l; q < (l + 1) * (l + 1); q++)
            for (int64_t axis = 0; axis < 3; axis++)
                for (int64_t p = 0; p < lower; p++)
                    if (const T slope = slopes[(axis * lower + p) * all + q])
                        found.push_back({axis, p, q, slope, slope / T(l)});
    return found;
}

// The functions of some edges.
template <class T, class N>
struct Edges {
    using Wide = typename Lanes<T>::type;
    using S = typename N::template Of<Wide>;
    Wide inverse_cutoff;
    S r, x, unit[3], envelope, slope, radial[SINES], radial_slope[SINES], decay[EXPONENTS], harmonic[HARMONICS];

    Edges(const LinearEnergy<T>& n, const N* in, const Block<T>& block, const std::vector<Slope<T>>& slopes) {
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
        // sin(m pi x) / (x cutoff) envelope, and its slope by x
        const S over = T(1) / (x * T(n.cutoff)), falling = slope - envelope / x;
        const Wave<S> base = wave<T>(x);
        Wave<S> now = base;
        for (int64_t m = 0; m < n.sines; m++) {
            radial[m] = over * envelope * now.sine;
            radial_slope[m] = over * (envelope * now.cosine * T((m + 1) * PI) + falling * now.sine);
            now = now * base;
        }
        for (int64_t a = 0; a < n.exponents; a++) decay[a] = exponential((T(n.origin) - r) * n.decays[a]);
        const int64_t all = (n.l_max + 1) * (n.l_max + 1);
        for (int64_t q = 0; q < all; q++) harmonic[q] = S{};
        harmonic[0] += Wide{} + T(1);
        for (const Slope<T>& s : slopes) harmonic[s.q] += unit[s.axis] * harmonic[s.p] * s.share;
    }
};

// cutoffs [E], or null where all edges have the one; decays [X]; pairs [S, S, M]; embedded [S, 3, S X]; products
// [S, L + 1, S F, S F], symmetric.
template <class T, class N>
void linear_energy(const LinearEnergy<T>& n, const Call<T>& call) {
    const T* g = call.gradients ? call.gradients[0] : nullptr;
    T* values = call.values ? call.values[0] : nullptr;
    T* const* by = call.by_inputs;
    using S = typename N::template Of<T>;
    using SW = typename N::template Of<typename Lanes<T>::type>;
    const int64_t M = n.sines, F = n.radial, X = n.exponents, D = n.species * X, C = n.species * F;
    const int64_t all = (n.l_max + 1) * (n.l_max + 1);
    const N in[] = {N{call.inputs[0], call.tangents ? call.tangents[0] : nullptr},
                    N{call.inputs[1], call.tangents ? call.tangents[1] : nullptr}};
    const T least = std::sqrt(T(n.smooth_root));
    const std::vector<Slope<T>> slopes = slopes_of(n.slopes, n.l_max);

    share_out(n.atoms, n.first_edge, n.threads, [&](int64_t, int64_t begin, int64_t end) {
        Blocks<T> blocks(n.species, n.element, n.first_edge, n.neighbour);
        std::vector<Edges<T, N>> edges_of_atom;
        std::vector<SW> density_parts(D), tensor_parts(C * all);
        std::vector<S> by_density(D), tensor(C * all), by_tensor(C * all);
        for (int64_t i = begin; i < end; i++) {
            const T *pairs = n.pairs + n.element[i] * n.species * M, *embedded = n.embedded + n.element[i] * 3 * D;
            // 1. sums over neighbours
            SW pair_part{};
            density_parts.assign(D, SW{});
            tensor_parts.assign(C * all, SW{});
            edges_of_atom.clear();
            for (const Block<T>& block : blocks.of(i)) {
                edges_of_atom.emplace_back(n, in, block, slopes);
                const Edges<T, N>& edges = edges_of_atom.back();
                for (int64_t m = 0; m < M; m++) pair_part += edges.radial[m] * (T(0.5) * pairs[block.species * M + m]);
                for (int64_t a = 0; a < X; a++) density_parts[block.species * X + a] += edges.decay[a] * edges.envelope;
                for (int64_t k = 0; k < F; k++) {
                    SW* part = tensor_parts.data() + (block.species * F + k) * all;
                    for (int64_t q = 0; q < all; q++) part[q] += edges.radial[k] * edges.harmonic[q];
                }
            }
            S energy = sum<T>(pair_part);
            // 2. embedding functions
            for (int64_t d = 0; d < D; d++) {
                const S density = sum<T>(density_parts[d]), root = square_root(density + T(n.smooth_root));
                energy += (root - least) * embedded[d] +
                          density * density * (density * embedded[2 * D + d] + embedded[D + d]);
                by_density[d] = T(0.5) * embedded[d] / root +
                                density * (density * (T(3) * embedded[2 * D + d]) + T(2) * embedded[D + d]);
            }
            // 3. products, degree by degree
            for (int64_t p = 0; p < C * all; p++) tensor[p] = sum<T>(tensor_parts[p]);
            for (int64_t l = 0; l <= n.l_max; l++) {
                const T* matrix = n.products + (n.element[i] * (n.l_max + 1) + l) * C * C;
                for (int64_t k = 0; k < C; k++)
                    for (int64_t q = l * l; q < (l + 1) * (l + 1); q++) {
                        S other{};
                        for (int64_t c = 0; c < C; c++) other += tensor[c * all + q] * matrix[k * C + c];
                        energy += tensor[k * all + q] * other;
                        by_tensor[k * all + q] = T(2) * other;
                    }
            }
            if (values) values[i] = result(energy);
            if (!g) continue;
            // 4. back to the edges
            int64_t next = 0;
            for (const Block<T>& block : blocks.of(i)) {
                const Edges<T, N>& edges = edges_of_atom[next++];
                SW by_r{}, by_x{}, by_envelope{}, by_unit[3] = {}, by_harmonic[HARMONICS] = {};
                for (int64_t m = 0; m < M; m++)
                    by_x += edges.radial_slope[m] * (T(0.5) * pairs[block.species * M + m]);
                for (int64_t a = 0; a < X; a++) {
                    const SW by_sum = edges.decay[a] * by_density[block.species * X + a];
                    by_envelope += by_sum;
                    by_r += by_sum * edges.envelope * (n.decays[a] * T(-1));
                }
                by_x += by_envelope * edges.slope;
                for (int64_t k = 0; k < F; k++) {
                    const S* of_radial = by_tensor.data() + (block.species * F + k) * all;
                    SW by_radial{};
                    for (int64_t q = 0; q < all; q++) {
                        by_radial += edges.harmonic[q] * of_radial[q];
                        by_harmonic[q] += edges.radial[k] * of_radial[q];
                    }
                    by_x += by_radial * edges.radial_slope[k];
                }
                for (const Slope<T>& s : slopes) by_unit[s.axis] += by_harmonic[s.q] * edges.harmonic[s.p] * s.slope;
                for (int64_t a = 0; a < 3; a++)
                    block.scatter(result(by_unit[a] * g[i]), [&](int64_t e, T value) { by[UNITS][3 * e + a] = value; });
                block.scatter(result((by_r + by_x * edges.inverse_cutoff) * g[i]),
                              [&](int64_t e, T value) { by[DISTANCES][e] = value; });
            }
        }
    });
}

}  // namespace
}  // namespace scalarpath

KERNEL_ON_DUALS(linear_energy, LinearEnergy)
