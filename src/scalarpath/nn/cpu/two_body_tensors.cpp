// Tensors of edges, weights times harmonics, with their first and second derivatives.
//
// V[c, n, k, m] = w[e, l C + c] Y[n, k, m] for the edge e that lies in slot k of atom n, l being the degree of m.
#include <algorithm>
#include <cstdint>

#include "kernel.h"
#include "share_out.h"

namespace scalarpath {
namespace {

// work(c, edge, slot of the edge among all, where it lies in channel c of the result) for every channel and edge
template <class T, int L, class F>
void over_channels_and_edges(const TwoBody<T>& p, F&& work) {
    constexpr int64_t D = (L + 1) * (L + 1);
    share_out(p.atoms, p.first_edge, p.threads, [&](int64_t, int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; n++)
            for (int64_t c = 0; c < p.channels; c++)
                for (int64_t e = p.first_edge[n]; e < p.first_edge[n + 1]; e++)
                    work(c, e, p.slot[e], (c * p.atoms * p.slots + p.slot[e]) * D);
    });
}

// body(degree, component) over all components
template <int L, class F>
inline void over_components(F&& body) {
    for (int l = 0; l <= L; l++)
        for (int m = l * l; m < (l + 1) * (l + 1); m++) body(l, m);
}

// zero in empty slots
template <class T>
void clear_empty_slots(const TwoBody<T>& p, int64_t components, T* out) {
    for (int64_t n = 0; n < p.atoms; n++) {
        const int64_t taken = p.first_edge[n + 1] - p.first_edge[n], empty = p.slots - taken;
        for (int64_t c = 0; empty > 0 && c < p.channels; c++)
            std::fill_n(out + ((c * p.atoms + n) * p.slots + taken) * components, empty * components, T(0));
    }
}

template <class T, int L>
void tensors(const TwoBody<T>& p, const T* w, const T* y, T* out) {
    constexpr int64_t D = (L + 1) * (L + 1);
    const int64_t C = p.channels;
    clear_empty_slots(p, D, out);
    over_channels_and_edges<T, L>(p, [&](int64_t c, int64_t e, int64_t slot, int64_t at) {
        over_components<L>([&](int l, int m) { out[at + m] = w[(e * (L + 1) + l) * C + c] * y[slot * D + m]; });
    });
}

template <class T, int L>
void tensors_vjp(const TwoBody<T>& p, const T* w, const T* y, const T* g, T* by_w, T* by_y) {
    constexpr int64_t D = (L + 1) * (L + 1);
    const int64_t C = p.channels;
    over_channels_and_edges<T, L>(p, [&](int64_t c, int64_t e, int64_t slot, int64_t at) {
        T dot[L + 1] = {};
        over_components<L>([&](int l, int m) {
            dot[l] += g[at + m] * y[slot * D + m];
            by_y[slot * D + m] += g[at + m] * w[(e * (L + 1) + l) * C + c];
        });
        for (int l = 0; l <= L; l++) by_w[(e * (L + 1) + l) * C + c] = dot[l];
    });
}

template <class T, int L>
void tensors_jvp_of_vjp(const TwoBody<T>& p, const T* w, const T* y, const T* wt, const T* yt, const T* g, T* by_g, T* by_w,
                    T* by_y) {
    constexpr int64_t D = (L + 1) * (L + 1);
    const int64_t C = p.channels;
    clear_empty_slots(p, D, by_g);
    over_channels_and_edges<T, L>(p, [&](int64_t c, int64_t e, int64_t slot, int64_t at) {
        T dot[L + 1] = {};
        over_components<L>([&](int l, int m) {
            const int64_t k = (e * (L + 1) + l) * C + c;
            by_g[at + m] = wt[k] * y[slot * D + m] + w[k] * yt[slot * D + m];
            dot[l] += g[at + m] * yt[slot * D + m];
            by_y[slot * D + m] += g[at + m] * wt[k];
        });
        for (int l = 0; l <= L; l++) by_w[(e * (L + 1) + l) * C + c] = dot[l];
    });
}

#define OF_DEGREE(what, ...)                                  \
    switch (n.degree) {                                       \
        case 0: what<T, 0>(__VA_ARGS__); break;               \
        case 1: what<T, 1>(__VA_ARGS__); break;               \
        case 2: what<T, 2>(__VA_ARGS__); break;               \
        case 3: what<T, 3>(__VA_ARGS__); break;               \
        default: what<T, 4>(__VA_ARGS__);                     \
    }

template <class T>
void two_body_tensors(const TwoBody<T>& n, const Call<T>& call) {
    const T *w = call.inputs[0], *y = call.inputs[1], *g = call.gradients ? call.gradients[0] : nullptr;
    if (!call.gradients)  // the gradient of no edges is a null pointer too
        OF_DEGREE(tensors, n, w, y, call.values[0])
    else if (!call.tangents)
        OF_DEGREE(tensors_vjp, n, w, y, g, call.by_inputs[0], call.by_inputs[1])
    else
        OF_DEGREE(tensors_jvp_of_vjp, n, w, y, call.tangents[0], call.tangents[1], g, call.values[0], call.by_inputs[0],
                  call.by_inputs[1])
}

}  // namespace
}  // namespace scalarpath

KERNEL(two_body_tensors, TwoBody)
