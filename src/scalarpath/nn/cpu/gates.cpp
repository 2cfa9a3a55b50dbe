// Gates of the scalar pathway (heads/pan.py), with their first and second derivatives.
//
// Every layer of a backbone has a small network on the descriptors d of an atom, o = W2 u, u = silu(W1 d + T) / sqrt(H),
// and gates exp(s tanh x): on atoms x = o; on edges x = c0 + sum_b c_b R_b of the radial features of the edge, with
// coefficients (c0, c) = o, one set for every species of the neighbour. One function makes the gates and,
// given gradients g by these, goes back to its inputs (vjp). On dual numbers (dual.h) the first half gives the jvp, and
// the second half the jvp of the vjp.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "edge_blocks.h"
#include "elementary.h"
#include "kernel.h"
#include "share_out.h"

namespace scalarpath {
namespace {

// d, W1 [D, L H], T [S, L H], then W2 [H, width] of every layer, then R [rows, B]
enum Input { DESCRIPTORS, FIRST, EMBEDDING, SECOND };

// The networks of one atom after another, on numbers N without or with tangents.
template <class T, class N>
class AtomNetworks {
   public:
    template <class V>
    using Of = typename N::template Of<V>;
    using Wide = typename Lanes<T>::type;

    AtomNetworks(const Gates<T>& n, const Call<T>& call)
        : n(n), call(call), total(n.layers * n.hidden), by(call.by_inputs), units(total), slopes(total),
          by_units(total) {
        for (int64_t k = 0; by && k < SECOND + n.layers; k++)
            own.emplace_back(k > DESCRIPTORS && by[k] ? size(k) : 0, T(0));
    }

    N input(int64_t k, int64_t at = 0) const { return N{call.inputs[k], call.tangents ? call.tangents[k] : nullptr}.from(at); }

    // u of atom i, and its derivative by the argument of silu
    void enter(int64_t atom) {
        i = atom;
        const N d = input(DESCRIPTORS, i * n.descriptors), shift = input(EMBEDDING, n.element[i] * total);
        const T scale = T(1) / std::sqrt(T(n.hidden));
        over_channels<T>(total, [&](auto zero, int64_t j) {
            using V = decltype(zero);
            Of<V> x = shift.template get<V>(j);
            for (int64_t k = 0; k < n.descriptors; k++)
                x += d.template get<T>(k) * input(FIRST, k * total).template get<V>(j);
            const Of<V> s = sigmoid<T>(x);
            units.set(j, x * s * scale);
            slopes.set(j, s * (T(1) + x * (T(1) - s)) * scale);
        });
    }

    // channel c of o of a layer
    template <class V>
    Of<V> output(int64_t layer, int64_t c) const {
        const N u = units.template row<N>(layer * n.hidden), w = input(SECOND + layer);
        const auto term = [&](int64_t m) { return u.template get<T>(m) * w.template get<V>(m * n.widths[layer] + c); };
        Of<V> even{}, odd{};  // two sums at a time, since each has to wait for its last term
        for (int64_t m = 0; m + 1 < n.hidden; m += 2) {
            even += term(m);
            odd += term(m + 1);
        }
        return n.hidden % 2 ? even + odd + term(n.hidden - 1) : even + odd;
    }

    // from derivatives by o of a layer to those by its u and W2
    void back(int64_t layer, const Room<T>& by_output) {
        const int64_t width = n.widths[layer];
        const N u = units.template row<N>(layer * n.hidden), w = input(SECOND + layer), g = by_output.template row<N>();
        T* by_w = by[SECOND + layer] ? own[SECOND + layer].data() : nullptr;
        for (int64_t m = 0; m < n.hidden; m++) {
            Of<Wide> dot{};
            const Of<T> um = u.template get<T>(m);
            over_channels<T>(width, [&](auto zero, int64_t c) {
                using V = decltype(zero);
                const Of<V> gv = g.template get<V>(c);
                add(dot, gv * w.template get<V>(m * width + c));
                if (by_w) store(by_w + m * width + c, load<V>(by_w + m * width + c) + result(um * gv));
            });
            by_units.set(layer * n.hidden + m, sum<T>(dot));
        }
    }

    // from derivatives by u to those by d, W1 and T
    void leave() {
        const N by_u = by_units.template row<N>(), slope = slopes.template row<N>();
        const N d = input(DESCRIPTORS, i * n.descriptors);
        std::vector<Of<Wide>> dots(n.descriptors, Of<Wide>{});
        T* by_shift = by[EMBEDDING] ? own[EMBEDDING].data() + n.element[i] * total : nullptr;
        T* by_first = by[FIRST] ? own[FIRST].data() : nullptr;
        over_channels<T>(total, [&](auto zero, int64_t j) {
            using V = decltype(zero);
            const Of<V> by_x = by_u.template get<V>(j) * slope.template get<V>(j);
            if (by_shift) store(by_shift + j, load<V>(by_shift + j) + result(by_x));
            for (int64_t k = 0; k < n.descriptors; k++) {
                add(dots[k], by_x * input(FIRST, k * total).template get<V>(j));
                T* to = by_first + k * total + j;
                if (by_first) store(to, load<V>(to) + result(d.template get<T>(k) * by_x));
            }
        });
        for (int64_t k = 0; k < n.descriptors; k++)
            by[DESCRIPTORS][i * n.descriptors + k] = result(sum<T>(dots[k]));
    }

    // derivatives by the parameters, of the atoms of this thread
    void add_to_result() const {
        for (size_t k = 0; k < own.size(); k++)
            for (size_t p = 0; p < own[k].size(); p++) by[k][p] += own[k][p];
    }

   private:
    int64_t size(int64_t k) const {
        return k == FIRST       ? n.descriptors * total
               : k == EMBEDDING ? n.species * total
                                : n.hidden * n.widths[k - SECOND];
    }

    const Gates<T>& n;
    const Call<T>& call;
    const int64_t total;
    T* const* by;
    Room<T> units, slopes, by_units;
    std::vector<std::vector<T>> own;  // derivatives by the parameters
    int64_t i = 0;
};

// work(networks, first atom, last atom + 1) for the atoms of every thread; derivatives by parameters added up in order
template <class T, class N, class F>
void over_atoms(const Gates<T>& n, const Call<T>& call, F&& work) {
    std::vector<AtomNetworks<T, N>> networks(n.threads, AtomNetworks<T, N>(n, call));
    share_out(n.atoms, n.first_edge, n.threads,
              [&](int64_t thread, int64_t begin, int64_t end) { work(networks[thread], begin, end); });
    for (int64_t t = 0; call.by_inputs && t < n.threads; t++) networks[t].add_to_result();
}

// exp(s tanh x), and its derivative
template <class T, class S>
struct ExpTanh {
    S value, slope;
    ExpTanh(T strength, S x) {
        const S t = hyperbolic_tangent<T>(x);
        value = exponential(t * strength);
        slope = value * (T(1) - t * t) * strength;
    }
};

// slopes: the derivatives of the gates by their arguments, which lie where the values do; the run that makes the values
// keeps them, and that of the vjp reads them.
template <class T, class N>
void node_gates(const Gates<T>& n, const Call<T>& call) {
    const T strength = T(n.strength);
    T *const *slopes = n.slopes, *const *g = call.gradients, *const *values = call.values, *const *tangents = call.tangents;
    over_atoms<T, N>(n, call, [&](AtomNetworks<T, N>& networks, int64_t begin, int64_t end) {
        Room<T> by_output(n.layers ? *std::max_element(n.widths, n.widths + n.layers) : 0);
        for (int64_t i = begin; i < end; i++) {
            networks.enter(i);
            for (int64_t layer = 0; layer < n.layers; layer++) {
                const int64_t width = n.widths[layer];
                over_channels<T>(width, [&](auto zero, int64_t c) {
                    using V = decltype(zero);
                    using S = typename N::template Of<V>;
                    T* const slope = slopes[layer] + i * width + c;
                    if (g && !tangents) return by_output.set(c, load<V>(slope) * load<V>(g[layer] + i * width + c));
                    const ExpTanh<T, S> gate(strength, networks.template output<V>(layer, c));
                    store(values[layer] + i * width + c, result(gate.value));
                    if (g)
                        by_output.set(c, gate.slope * load<V>(g[layer] + i * width + c));
                    else
                        store(slope, primal(gate.slope));
                });
                if (g) networks.back(layer, by_output);
            }
            if (g) networks.leave();
        }
    });
}

template <class T, class N>
void edge_gates(const Gates<T>& n, const Call<T>& call) {
    const T strength = T(n.strength);
    T *const *slopes = n.slopes, *const *g = call.gradients, *const *values = call.values, *const *by = call.by_inputs;
    T* const* tangents = call.tangents;
    using Wide = typename Lanes<T>::type;
    using S = typename N::template Of<Wide>;
    const int64_t B = n.functions, width = n.species * (1 + B), radial = SECOND + n.layers;
    // derivatives by the radial features of the edges, of which two may have one row
    std::vector<T> by_edge(g && by[radial] ? n.first_edge[n.atoms] * B : 0);
    over_atoms<T, N>(n, call, [&](AtomNetworks<T, N>& networks, int64_t begin, int64_t end) {
        Blocks<T> blocks(n.species, n.element, n.first_edge, n.neighbour);
        std::vector<Room<T>> outputs(n.layers, Room<T>(width));
        std::vector<S> by_outputs(n.layers * width), features(B), by_features(B);
        Room<T> by_output(width);
        for (int64_t i = begin; i < end; i++) {
            networks.enter(i);
            for (int64_t layer = 0; layer < n.layers; layer++)
                over_channels<T>(width, [&](auto zero, int64_t c) {
                    outputs[layer].set(c, networks.template output<decltype(zero)>(layer, c));
                });
            std::fill(by_outputs.begin(), by_outputs.end(), S{});
            for (const Block<T>& block : blocks.of(i)) {
                for (int64_t b = 0; b < B; b++) {
                    features[b] = block.template gathered<N>([&](int64_t e, int64_t) {
                        return networks.input(radial, (n.row ? n.row[e] : e) * B + b).template get<T>(0);
                    });
                    by_features[b] = S{};
                }
                for (int64_t layer = 0; layer < n.layers; layer++) {
                    const int64_t first = block.species * (1 + B);
                    const N c = outputs[layer].template row<N>(first);
                    S slope{};
                    if (g && !tangents) {
                        slope = S{} + block.template gathered<Plain<T>>(
                            [&](int64_t e, int64_t) { return slopes[layer][n.slot[e]]; });
                    } else {
                        S x = S{} + c.template get<T>(0);
                        for (int64_t b = 0; b < B; b++) x += c.template get<T>(1 + b) * features[b];
                        const ExpTanh<T, S> gate(strength, x);
                        slope = gate.slope;
                        block.scatter(result(gate.value), [&](int64_t e, T v) { values[layer][n.slot[e]] = v; });
                        if (!g) block.scatter(primal(slope), [&](int64_t e, T v) { slopes[layer][n.slot[e]] = v; });
                    }
                    if (!g) continue;
                    const Wide given = block.template gathered<Plain<T>>(
                        [&](int64_t e, int64_t lane) { return lane < block.filled ? g[layer][n.slot[e]] : T(0); });
                    const S by_x = slope * given;
                    S* by_c = by_outputs.data() + layer * width + first;
                    by_c[0] += by_x;
                    for (int64_t b = 0; b < B; b++) {
                        by_c[1 + b] += by_x * features[b];
                        by_features[b] += by_x * c.template get<T>(1 + b);
                    }
                }
                for (int64_t b = 0; b < B && !by_edge.empty(); b++)
                    block.scatter(result(by_features[b]), [&](int64_t e, T x) { by_edge[e * B + b] = x; });
            }
            if (!g) continue;
            for (int64_t layer = 0; layer < n.layers; layer++) {
                for (int64_t c = 0; c < width; c++) by_output.set(c, sum<T>(by_outputs[layer * width + c]));
                networks.back(layer, by_output);
            }
            networks.leave();
        }
    });
    if (by_edge.empty()) return;
#pragma omp parallel for num_threads(n.threads) schedule(static)
    for (int64_t r = 0; r < n.rows; r++)
        for (int64_t b = 0; b < B; b++) {
            const int64_t e = n.edge_of ? n.edge_of[r] : r;
            by[radial][r * B + b] = by_edge[e * B + b] + (n.reverse ? by_edge[n.reverse[e] * B + b] : T(0));
        }
}

}  // namespace
}  // namespace scalarpath

KERNEL_ON_DUALS(node_gates, Gates)
KERNEL_ON_DUALS(edge_gates, Gates)
