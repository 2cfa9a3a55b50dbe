// The sum over neighbours of harmonics x weights x features with its first and second derivatives, edge by edge.
//
// An edge adds to its centre, for every group of paths (see nn/path_groups.py),
//     T[p, l, m, c] += Y[l] W[p, c] h[m, c]          paths in general; those with a constant harmonic have Y = 1
//     T[c]          += W[c] sum_m Y[m] h[m, c]       a trace
// Nothing that has a row per edge and channel is stored. Both edges of a pair read one row of weights; so derivatives by
// weights are made in two rounds, first for the first edges of all pairs, then for the others, and no two threads ever
// write to one row. Derivatives by features go to the neighbours: every thread has an array of its own for them, and
// the arrays are added up in the order of the threads.
#include <algorithm>
#include <memory>
#include <vector>

#include "kernel.h"
#include "lanes.h"
#include "share_out.h"

namespace scalarpath {
namespace {

// Number of values of a group per atom.
template <class T>
int64_t width(const Group<T>& q) {
    return q.trace ? q.channels : q.paths * q.degree * q.components * q.channels;
}

// Inputs or tangents: Y [slots, D], gate [slots] or null, per block W [rows, stride], per source h [atoms, M, C].
template <class T>
struct Factors {
    const T *y, *gate;
    T *const *w, *const *h;
    Factors(const NeighbourSum<T>& graph, T* const* of) : y(of[0]), gate(of[1]), w(of + 2), h(w + graph.blocks) {}
};

template <class T>
const Group<T>* groups(const NeighbourSum<T>& graph) {
    return reinterpret_cast<const Group<T>*>(graph.group);
}

template <class T>
using Wide = typename Lanes<T>::type;

// One group and edge. by_*: where derivatives are added, but for by_w, which is set unless ``again``; by_h may be null.

template <class T, int L>
void path_value(const Group<T>& q, const T* y, const T* w, const T* h, T* t) {
    const int64_t C = q.channels, M = q.components;
    for (int64_t p = 0; p < q.paths; p++)
        over_channels<T>(C, [&](auto zero, int64_t c) {
            using V = decltype(zero);
            const V wv = load<V>(w + p * C + c);
            for (int64_t m = 0; m < M; m++) {
                T* to = t + (p * L * M + m) * C + c;
                const V wh = wv * load<V>(h + m * C + c);
                for (int l = 0; l < L; l++) store(to + l * M * C, load<V>(to + l * M * C) + wh * y[l]);
            }
        });
}

template <class T, int L>
void path_vjp(const Group<T>& q, const T* y, const T* w, const T* h, const T* g, Wide<T>* by_y, T* by_w, bool again,
                T* by_h) {
    const int64_t C = q.channels, M = q.components;
    Wide<T> total[L] = {};
    for (int64_t p = 0; p < q.paths; p++)
        over_channels<T>(C, [&](auto zero, int64_t c) {
            using V = decltype(zero);
            const V wv = load<V>(w + p * C + c);
            V by_wv = again ? load<V>(by_w + p * C + c) : zero;
            for (int64_t m = 0; m < M; m++) {
                const T* from = g + (p * L * M + m) * C + c;
                const V hv = load<V>(h + m * C + c), wh = wv * hv;
                V spread = zero;
                for (int l = 0; l < L; l++) {
                    const V gv = load<V>(from + l * M * C);
                    spread += gv * y[l];
                    add(total[l], wh * gv);
                }
                by_wv += spread * hv;
                if (by_h) store(by_h + m * C + c, load<V>(by_h + m * C + c) + spread * wv);
            }
            store(by_w + p * C + c, by_wv);
        });
    for (int l = 0; l < L; l++) by_y[l] += total[l];
}

// The jvp (by_g) and the jvp of the vjp at the tangents yt, wt, ht; bare: sums of G W h, or null.
template <class T, int L>
void path_jvp_of_vjp(const Group<T>& q, const T* y, const T* w, const T* h, const T* yt, const T* wt, const T* ht, const T* g,
                 T* by_g, Wide<T>* by_y, Wide<T>* bare, T* by_w, bool again, T* by_h) {
    const int64_t C = q.channels, M = q.components;
    Wide<T> total[L] = {}, plain[L] = {};
    for (int64_t p = 0; p < q.paths; p++)
        over_channels<T>(C, [&](auto zero, int64_t c) {
            using V = decltype(zero);
            const V wv = load<V>(w + p * C + c), wtv = load<V>(wt + p * C + c);
            V by_wv = again ? load<V>(by_w + p * C + c) : zero;
            for (int64_t m = 0; m < M; m++) {
                const int64_t at = (p * L * M + m) * C + c;
                const V hv = load<V>(h + m * C + c), htv = load<V>(ht + m * C + c);
                const V wh = wv * hv, mixed = wtv * hv + wv * htv;
                V spread = zero, spread_t = zero;
                for (int l = 0; l < L; l++) {
                    const V gv = load<V>(g + at + l * M * C);
                    spread += gv * y[l];
                    spread_t += gv * yt[l];
                    add(total[l], mixed * gv);
                    if (bare) add(plain[l], wh * gv);
                    T* to = by_g + at + l * M * C;
                    store(to, load<V>(to) + wh * yt[l] + mixed * y[l]);
                }
                by_wv += spread_t * hv + spread * htv;
                if (by_h) store(by_h + m * C + c, load<V>(by_h + m * C + c) + spread_t * wv + spread * wtv);
            }
            store(by_w + p * C + c, by_wv);
        });
    for (int l = 0; l < L; l++) by_y[l] += total[l];
    for (int l = 0; bare && l < L; l++) bare[l] += plain[l];
}

template <class T, int L>
void trace_value(const Group<T>& q, const T* y, const T* w, const T* h, T* t) {
    const int64_t C = q.channels;
    over_channels<T>(C, [&](auto zero, int64_t c) {
        using V = decltype(zero);
        V dot = zero;
        for (int l = 0; l < L; l++) dot += load<V>(h + l * C + c) * y[l];
        store(t + c, load<V>(t + c) + load<V>(w + c) * dot);
    });
}

template <class T, int L>
void trace_vjp(const Group<T>& q, const T* y, const T* w, const T* h, const T* g, Wide<T>* by_y, T* by_w, bool again,
                 T* by_h) {
    const int64_t C = q.channels;
    Wide<T> total[L] = {};
    over_channels<T>(C, [&](auto zero, int64_t c) {
        using V = decltype(zero);
        const V gv = load<V>(g + c), gw = gv * load<V>(w + c);
        V dot = zero;
        for (int l = 0; l < L; l++) {
            const V hv = load<V>(h + l * C + c);
            dot += hv * y[l];
            add(total[l], gw * hv);
            if (by_h) store(by_h + l * C + c, load<V>(by_h + l * C + c) + gw * y[l]);
        }
        const V before = again ? load<V>(by_w + c) : zero;
        store(by_w + c, before + gv * dot);
    });
    for (int l = 0; l < L; l++) by_y[l] += total[l];
}

template <class T, int L>
void trace_jvp_of_vjp(const Group<T>& q, const T* y, const T* w, const T* h, const T* yt, const T* wt, const T* ht, const T* g,
                  T* by_g, Wide<T>* by_y, Wide<T>* bare, T* by_w, bool again, T* by_h) {
    const int64_t C = q.channels;
    Wide<T> total[L] = {}, plain[L] = {};
    over_channels<T>(C, [&](auto zero, int64_t c) {
        using V = decltype(zero);
        const V gv = load<V>(g + c), wv = load<V>(w + c), wtv = load<V>(wt + c), gw = gv * wv, gwt = gv * wtv;
        V dot = zero, dot_t = zero;
        for (int l = 0; l < L; l++) {
            const V hv = load<V>(h + l * C + c), htv = load<V>(ht + l * C + c);
            dot += hv * y[l];
            dot_t += hv * yt[l] + htv * y[l];
            add(total[l], gwt * hv + gw * htv);
            if (bare) add(plain[l], gw * hv);
            if (by_h) store(by_h + l * C + c, load<V>(by_h + l * C + c) + gwt * y[l] + gw * yt[l]);
        }
        store(by_g + c, load<V>(by_g + c) + wtv * dot + wv * dot_t);
        const V before = again ? load<V>(by_w + c) : zero;
        store(by_w + c, before + gv * dot_t);
    });
    for (int l = 0; l < L; l++) by_y[l] += total[l];
    for (int l = 0; bare && l < L; l++) bare[l] += plain[l];
}

// path_WHAT or trace_WHAT of the degree of a group q
#define OF_DEGREE(what, ...)                                  \
    switch (q.degree) {                                       \
        case 1: what<T, 1>(__VA_ARGS__); break;               \
        case 3: what<T, 3>(__VA_ARGS__); break;               \
        case 5: what<T, 5>(__VA_ARGS__); break;               \
        case 7: what<T, 7>(__VA_ARGS__); break;               \
        default: what<T, 9>(__VA_ARGS__);                     \
    }
#define OF_GROUP(what, ...)                                   \
    if (q.trace) {                                            \
        OF_DEGREE(trace_##what, __VA_ARGS__)                  \
    } else {                                                  \
        OF_DEGREE(path_##what, __VA_ARGS__)                   \
    }

constexpr int64_t COLUMNS = 26;  // harmonics up to degree 4 (MOST_HARMONICS), and the constant

// Columns [0] and, times the gate, [1] of an edge, with those of the constant 1 behind.
template <class T>
struct Columns {
    T of[2][COLUMNS];
};

template <class T>
Columns<T> columns(const NeighbourSum<T>& graph, const Factors<T>& f, int64_t slot) {
    Columns<T> y;
    const T gate = f.gate ? f.gate[slot] : T(1);
    for (int64_t d = 0; d <= graph.harmonics; d++) {
        y.of[0][d] = d < graph.harmonics ? f.y[slot * graph.harmonics + d] : T(1);
        y.of[1][d] = y.of[0][d] * gate;
    }
    return y;
}

// The tangents of the same; the constant has none, its gate has.
template <class T>
Columns<T> tangents(const NeighbourSum<T>& graph, const Factors<T>& f, const Factors<T>& t, const Columns<T>& y, int64_t slot) {
    Columns<T> yt;
    const T gate = f.gate ? f.gate[slot] : T(1), gate_t = f.gate ? t.gate[slot] : T(0);
    for (int64_t d = 0; d <= graph.harmonics; d++) {
        yt.of[0][d] = d < graph.harmonics ? t.y[slot * graph.harmonics + d] : T(0);
        yt.of[1][d] = yt.of[0][d] * gate + y.of[0][d] * gate_t;
    }
    return yt;
}

// Derivatives by features, per thread: the first one has the result itself.
template <class T>
class ByFeatures {
   public:
    ByFeatures(const NeighbourSum<T>& graph, T* const* result)
        : graph(graph), size(graph.sources, 0), own(graph.threads, std::vector<T*>(result, result + graph.sources)) {
        for (int64_t k = 0; k < graph.groups; k++) {
            const Group<T>& q = groups(graph)[k];
            size[q.source] = graph.atoms * q.components * q.channels;
        }
        for (int64_t t = 1; t < graph.threads; t++)
            for (int64_t s = 0; s < graph.sources; s++)
                if (result[s]) {
                    memory.emplace_back(new T[size[s]]);
                    own[t][s] = memory.back().get();
                }
    }

    T* of(int64_t thread, const Group<T>& q, int64_t atom) const {
        T* all = own[thread][q.source];
        return all ? all + atom * q.components * q.channels : nullptr;
    }

    void clear(int64_t thread) {
        for (int64_t s = 0; s < graph.sources; s++)
            if (own[thread][s]) std::fill_n(own[thread][s], size[s], T(0));
    }

    void add_up() {
        for (int64_t s = 0; s < graph.sources; s++) {
            if (!own[0][s] || graph.threads == 1) continue;
            const int64_t n = size[s];
#pragma omp parallel for num_threads(graph.threads) schedule(static)
            for (int64_t k = 0; k < n; k++)
                for (int64_t t = 1; t < graph.threads; t++) own[0][s][k] += own[t][s][k];
        }
    }

   private:
    const NeighbourSum<T>& graph;
    std::vector<int64_t> size;
    std::vector<std::vector<T*>> own;
    std::vector<std::unique_ptr<T[]>> memory;
};

// work.edge(thread, atom, edge, whether the weights of its pair have been met before) for all edges, in the two rounds,
// each after work.begin(thread, first atom, last atom + 1, round).
template <class T, class Work>
void over_edges(const NeighbourSum<T>& graph, Work& work) {
    for (int round = 0; round < 2; round++)
        share_out(graph.atoms, graph.first_edge, graph.threads, [&](int64_t thread, int64_t begin, int64_t end) {
            work.begin(thread, begin, end, round);
            for (int64_t i = begin; i < end; i++)
                for (int64_t e = graph.first_edge[i]; e < graph.first_edge[i + 1]; e++) {
                    const bool again = graph.pair_edge[graph.pair[e]] != e;
                    if (again == (round == 1)) work.edge(thread, i, e, again);
                }
        });
}

template <class T>
void clear(const NeighbourSum<T>& graph, T* const* per_group, int64_t begin, int64_t end) {
    for (int64_t k = 0; k < graph.groups; k++) {
        const int64_t size = width(groups(graph)[k]);
        std::fill_n(per_group[k] + begin * size, (end - begin) * size, T(0));
    }
}

template <class T>
void total(const NeighbourSum<T>& graph, const Factors<T>& f, T* const* t) {
    share_out(graph.atoms, graph.first_edge, graph.threads, [&](int64_t, int64_t begin, int64_t end) {
        clear(graph, t, begin, end);
        for (int64_t i = begin; i < end; i++)
            for (int64_t e = graph.first_edge[i]; e < graph.first_edge[i + 1]; e++) {
                const Columns<T> y = columns(graph, f, graph.slot[e]);
                for (int64_t k = 0; k < graph.groups; k++) {
                    const Group<T>& q = groups(graph)[k];
                    const T* w = f.w[q.block] + graph.pair[e] * graph.stride[q.block] + q.column;
                    const T* h = f.h[q.source] + graph.neighbour[e] * q.components * q.channels;
                    OF_GROUP(value, q, y.of[q.scalar] + q.where, w, h, t[k] + i * width(q))
                }
            }
    });
}

template <class T>
struct Vjp {
    const NeighbourSum<T>& graph;
    const Factors<T>& f;
    const T* const* g;
    T *by_y, *by_gate;
    T* const* by_w;
    ByFeatures<T> by_h;

    void begin(int64_t thread, int64_t, int64_t, int round) {
        if (round == 0) by_h.clear(thread);
    }

    void edge(int64_t thread, int64_t i, int64_t e, bool again) {
        const int64_t slot = graph.slot[e], j = graph.neighbour[e], row = graph.pair[e];
        const Columns<T> y = columns(graph, f, slot);
        Wide<T> sums[2][COLUMNS] = {};
        for (int64_t k = 0; k < graph.groups; k++) {
            const Group<T>& q = groups(graph)[k];
            const int64_t at = row * graph.stride[q.block] + q.column;
            const T* h = f.h[q.source] + j * q.components * q.channels;
            OF_GROUP(vjp, q, y.of[q.scalar] + q.where, f.w[q.block] + at, h, g[k] + i * width(q),
                     sums[q.scalar] + q.where, by_w[q.block] + at, again, by_h.of(thread, q, j))
        }
        const T gate = f.gate ? f.gate[slot] : T(1);
        T of_gate = 0;
        for (int64_t d = 0; d <= graph.harmonics; d++) {
            const T gated = sum<T>(sums[1][d]);
            of_gate += y.of[0][d] * gated;
            if (d < graph.harmonics) by_y[slot * graph.harmonics + d] = sum<T>(sums[0][d]) + gate * gated;
        }
        if (by_gate) by_gate[slot] = of_gate;
    }
};

template <class T>
struct JvpOfVjp {
    const NeighbourSum<T>& graph;
    const Factors<T>&f, &t;
    const T* const* g;
    T* const* by_g;
    T *by_y, *by_gate;
    T* const* by_w;
    ByFeatures<T> by_h;

    void begin(int64_t thread, int64_t begin, int64_t end, int round) {
        if (round == 1) return;
        by_h.clear(thread);
        clear(graph, by_g, begin, end);
    }

    void edge(int64_t thread, int64_t i, int64_t e, bool again) {
        const int64_t slot = graph.slot[e], j = graph.neighbour[e], row = graph.pair[e];
        const Columns<T> y = columns(graph, f, slot), yt = tangents(graph, f, t, y, slot);
        Wide<T> sums[2][COLUMNS] = {}, bare[COLUMNS] = {};
        for (int64_t k = 0; k < graph.groups; k++) {
            const Group<T>& q = groups(graph)[k];
            const int64_t at = row * graph.stride[q.block] + q.column, from = j * q.components * q.channels;
            OF_GROUP(jvp_of_vjp, q, y.of[q.scalar] + q.where, f.w[q.block] + at, f.h[q.source] + from,
                     yt.of[q.scalar] + q.where, t.w[q.block] + at, t.h[q.source] + from, g[k] + i * width(q),
                     by_g[k] + i * width(q), sums[q.scalar] + q.where, f.gate && q.scalar ? bare + q.where : nullptr,
                     by_w[q.block] + at, again, by_h.of(thread, q, j))
        }
        const T gate = f.gate ? f.gate[slot] : T(1), gate_t = f.gate ? t.gate[slot] : T(0);
        T of_gate = 0;
        for (int64_t d = 0; d <= graph.harmonics; d++) {
            const T gated = sum<T>(sums[1][d]), ungated = sum<T>(bare[d]);
            of_gate += y.of[0][d] * gated + yt.of[0][d] * ungated;
            if (d < graph.harmonics)
                by_y[slot * graph.harmonics + d] = sum<T>(sums[0][d]) + gate * gated + gate_t * ungated;
        }
        if (by_gate) by_gate[slot] = of_gate;
    }
};

template <class T>
void neighbour_sum(const NeighbourSum<T>& graph, const Call<T>& call) {
    const Factors<T> f(graph, call.inputs);
    if (!call.gradients) return total(graph, f, call.values);
    T *const *by = call.by_inputs, *const *by_w = by + 2, *const *by_h = by_w + graph.blocks;
    const auto run = [&](auto&& work) {
        over_edges(graph, work);
        work.by_h.add_up();
    };
    if (!call.tangents) return run(Vjp<T>{graph, f, call.gradients, by[0], by[1], by_w, {graph, by_h}});
    const Factors<T> t(graph, call.tangents);
    run(JvpOfVjp<T>{graph, f, t, call.gradients, call.values, by[0], by[1], by_w, {graph, by_h}});
}

}  // namespace
}  // namespace scalarpath

KERNEL(neighbour_sum, NeighbourSum)
