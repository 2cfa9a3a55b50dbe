// The edge band of a head (heads/pgs.py), with its first and second derivatives.
//
//     b[p, q] = A[pair(p), q] sum_m phi_m(r_p) B[m, q],  phi_m = sin(n_m pi r / cutoff) u(r / cutoff) / r
//
// As in descriptors.cpp one function makes all three.
#include <cmath>
#include <cstdint>
#include <vector>

#include "dual.h"

namespace scalarpath {
namespace {

constexpr int64_t MOST = 64;  // orders, or ranks

// orders n = first + 1 ... first + size; pair [P], or null: all 0
struct Band {
    int64_t pairs, first, size, rank, amplitudes, threads;
    double cutoff;
    const int64_t* pair;
};

// r [P], B [size, rank], A [amplitudes, rank]
template <class T>
struct Inputs {
    const T *r, *mix, *amplitude;
};
template <class T>
struct Results {
    T *band, *r, *mix, *amplitude;
};

// sin and cos of a number whose value has these
template <class T>
inline void set(T& s, T& c, T, double sine, double cosine) {
    s = T(sine);
    c = T(cosine);
}
template <class T>
inline void set(Dual<T>& s, Dual<T>& c, Dual<T> angle, double sine, double cosine) {
    s = {T(sine), T(cosine) * angle.tangent};
    c = {T(cosine), -T(sine) * angle.tangent};
}

template <class T, class S>
void band(const Band& n, const Inputs<T>& in, const Inputs<T>& moved, const T* g, const Results<T>& out) {
    const int64_t M = n.size, R = n.rank, parameters = M * R + n.amplitudes * R;
    const double unit = M_PI / n.cutoff;
    std::vector<S> mix(M * R), amplitude(n.amplitudes * R), by_parameters(n.threads * parameters, S(0));
    for (int64_t k = 0; k < M * R; k++) read(mix[k], in.mix, moved.mix, k);
    for (int64_t k = 0; k < n.amplitudes * R; k++) read(amplitude[k], in.amplitude, moved.amplitude, k);
#pragma omp parallel for num_threads(n.threads) schedule(static, 1) if (n.threads > 1)
    for (int64_t t = 0; t < n.threads; t++) {
        S *by_mix = by_parameters.data() + t * parameters, *by_amplitude = by_mix + M * R;
        for (int64_t p = n.pairs * t / n.threads; p < n.pairs * (t + 1) / n.threads; p++) {
            S r;
            read(r, in.r, moved.r, p);
            // 1. u / r and its slope
            const S x = r * S(T(1.0 / n.cutoff)), x2 = x * x, x4 = x2 * x2, rest = S(1) - x;
            const bool inside = in.r[p] < T(n.cutoff);
            const S envelope = inside ? S(1) - x4 * x2 * (S(28) - x * (S(48) - S(21) * x)) : S(0);
            const S slope = inside ? S(-168) * x4 * x * rest * rest : S(0);
            const S over = envelope / r, over_slope = (slope * S(T(1.0 / n.cutoff)) - over) / r;
            // 2. the functions, with sines and cosines of multiples from those of the first one
            const double angle = unit * in.r[p], s1 = std::sin(angle), c1 = std::cos(angle);
            double s = std::sin(n.first * angle), c = std::cos(n.first * angle);
            S phi[MOST], phi_slope[MOST];
            for (int64_t m = 0; m < M; m++) {
                const double next = s * c1 + c * s1;
                c = c * c1 - s * s1;
                s = next;
                const S k = S(T((n.first + m + 1) * unit));
                S sine, cosine;
                set(sine, cosine, k * r, s, c);
                phi[m] = sine * over;
                phi_slope[m] = k * cosine * over + sine * over_slope;
            }
            // 3. mixed, and back
            const int64_t pair = n.pair ? n.pair[p] : 0;
            S by_mixed[MOST], by_r(0);
            for (int64_t q = 0; q < R; q++) {
                S mixed(0);
                for (int64_t m = 0; m < M; m++) mixed += phi[m] * mix[m * R + q];
                if (out.band) out.band[p * R + q] = highest(mixed * amplitude[pair * R + q]);
                if (!g) continue;
                by_mixed[q] = S(g[p * R + q]) * amplitude[pair * R + q];
                by_amplitude[pair * R + q] += S(g[p * R + q]) * mixed;
            }
            if (!g) continue;
            for (int64_t m = 0; m < M; m++) {
                S by_phi(0);
                for (int64_t q = 0; q < R; q++) {
                    by_phi += by_mixed[q] * mix[m * R + q];
                    by_mix[m * R + q] += phi[m] * by_mixed[q];
                }
                by_r += by_phi * phi_slope[m];
            }
            out.r[p] = highest(by_r);
        }
    }
    if (!g) return;
    for (int64_t k = 0; k < parameters; k++) {
        S total(0);
        for (int64_t t = 0; t < n.threads; t++) total += by_parameters[t * parameters + k];
        (k < M * R ? out.mix[k] : out.amplitude[k - M * R]) = highest(total);
    }
}

}  // namespace
}  // namespace scalarpath

using namespace scalarpath;

// g, moved and out.band may be null: the band alone; derivatives by the inputs; these where the inputs move.
#define FOR_TYPE(T, type)                                                                                      \
    extern "C" void edge_band_##type(const Band* n, const Inputs<T>* in, const Inputs<T>* moved, const T* g,   \
                                     const Results<T>* out) {                                                  \
        if (moved)                                                                                             \
            band<T, Dual<T>>(*n, *in, *moved, g, *out);                                                        \
        else                                                                                                   \
            band<T, T>(*n, *in, *in, g, *out);                                                                 \
    }
FOR_TYPE(float, float32)
FOR_TYPE(double, float64)
