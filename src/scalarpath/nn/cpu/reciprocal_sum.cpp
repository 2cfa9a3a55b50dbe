// Ewald's sum over the reciprocal lattice (heads/coulomb.py): of k and -k one, |k| < last, k = 0 left out.
//
//     S_k = sum_i q_i exp(i k r_i),     w_k = factor exp(-width^2 k^2 / 2) / k^2
//
// exp(i k r) is a product of powers of three phases per atom, so that no wave needs a sine.
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernel.h"

namespace scalarpath {
namespace {

// pos [N, 3], q [N]
enum Input { POSITIONS, CHARGES };
// potential [N], field [N, 3], stress [3, 3]
enum Value { POTENTIAL, FIELD, STRESS };

// Powers 0 to n of exp(i b r) for every atom: [n + 1, N].
template <class T>
struct Powers {
    std::vector<T> cosine, sine;

    Powers(const T* pos, const T* b, int64_t n, int64_t atoms) : cosine((n + 1) * atoms), sine((n + 1) * atoms) {
        for (int64_t i = 0; i < atoms; i++) {
            const T phase = pos[3 * i] * b[0] + pos[3 * i + 1] * b[1] + pos[3 * i + 2] * b[2];
            const T c = std::cos(phase), s = std::sin(phase);
            cosine[i] = 1, sine[i] = 0;
            for (int64_t p = 1; p <= n; p++) {
                const int64_t here = p * atoms + i, before = here - atoms;
                cosine[here] = cosine[before] * c - sine[before] * s;
                sine[here] = cosine[before] * s + sine[before] * c;
            }
        }
    }
};

// What one thread has summed: potential [N], field [3, N], stress.
template <class T>
struct Sums {
    std::vector<T> potential, field;
    T stress[3][3] = {};
    explicit Sums(int64_t atoms) : potential(atoms), field(3 * atoms) {}
};

template <class T>
void reciprocal_sum(const ReciprocalSum<T>& n, const Call<T>& call) {
    const int64_t atoms = n.atoms, most[3] = {n.most_a, n.most_b, n.most_c};
    const int64_t rows = most[0] + 1, columns = 2 * most[1] + 1;
    const T *pos = call.inputs[POSITIONS], *q = call.inputs[CHARGES], *b = n.reciprocal;
    const Powers<T> along[3] = {{pos, b, most[0], atoms}, {pos, b + 3, most[1], atoms}, {pos, b + 6, most[2], atoms}};
    std::vector<Sums<T>> sums(n.threads, Sums<T>(atoms));
#pragma omp parallel for num_threads(n.threads) schedule(static, 1)
    for (int64_t t = 0; t < n.threads; t++) {
        Sums<T>& sum = sums[t];
        T *potential = sum.potential.data(), *fx = sum.field.data(), *fy = fx + atoms, *fz = fy + atoms;
        std::vector<T> plane(4 * atoms);
        T *plane_c = plane.data(), *plane_s = plane_c + atoms, *cosine = plane_s + atoms, *sine = cosine + atoms;
        for (int64_t line = t; line < rows * columns; line += n.threads) {
            const int64_t x = line / columns, y = line % columns - most[1];
            if (x == 0 && y < 0) continue;
            const T *xc = &along[0].cosine[x * atoms], *xs = &along[0].sine[x * atoms];
            const T *yc = &along[1].cosine[std::abs(y) * atoms], *ys = &along[1].sine[std::abs(y) * atoms];
            const T y_sign = y < 0 ? -1 : 1;
            for (int64_t i = 0; i < atoms; i++) {
                plane_c[i] = xc[i] * yc[i] - y_sign * xs[i] * ys[i];
                plane_s[i] = xs[i] * yc[i] + y_sign * xc[i] * ys[i];
            }
            for (int64_t z = x == 0 && y == 0 ? 1 : -most[2]; z <= most[2]; z++) {
                T k[3], square = 0;
                for (int a = 0; a < 3; a++) {
                    k[a] = x * b[a] + y * b[3 + a] + z * b[6 + a];
                    square += k[a] * k[a];
                }
                if (square >= T(n.last * n.last)) continue;
                const T w = T(n.factor) * std::exp(T(-0.5 * n.width * n.width) * square) / square;
                const T *zc = &along[2].cosine[std::abs(z) * atoms], *zs = &along[2].sine[std::abs(z) * atoms];
                const T z_sign = z < 0 ? -1 : 1;
                T real = 0, imaginary = 0;
#pragma omp simd reduction(+ : real, imaginary)
                for (int64_t i = 0; i < atoms; i++) {
                    cosine[i] = plane_c[i] * zc[i] - z_sign * plane_s[i] * zs[i];
                    sine[i] = plane_s[i] * zc[i] + z_sign * plane_c[i] * zs[i];
                    real += q[i] * cosine[i];
                    imaginary += q[i] * sine[i];
                }
                const T wr = w * real, wi = w * imaginary;
#pragma omp simd
                for (int64_t i = 0; i < atoms; i++) {
                    potential[i] += wr * cosine[i] + wi * sine[i];
                    const T f = wr * sine[i] - wi * cosine[i];
                    fx[i] += f * k[0], fy[i] += f * k[1], fz[i] += f * k[2];
                }
                const T power = T(0.5) * (wr * real + wi * imaginary);
                const T stretch = power * 2 * (1 / square + T(0.5 * n.width * n.width));
                for (int r = 0; r < 3; r++)
                    for (int c = 0; c < 3; c++) sum.stress[r][c] += stretch * k[r] * k[c] - (r == c ? power : 0);
            }
        }
    }
    T *potential = call.values[POTENTIAL], *field = call.values[FIELD], *stress = call.values[STRESS];
    for (int64_t i = 0; i < atoms; i++) potential[i] = field[3 * i] = field[3 * i + 1] = field[3 * i + 2] = 0;
    for (int64_t e = 0; e < 9; e++) stress[e] = 0;
    for (const Sums<T>& sum : sums) {
        for (int64_t i = 0; i < atoms; i++) {
            potential[i] += sum.potential[i];
            for (int64_t a = 0; a < 3; a++) field[3 * i + a] += sum.field[a * atoms + i];
        }
        for (int64_t e = 0; e < 9; e++) stress[e] += sum.stress[e / 3][e % 3];
    }
}

}  // namespace
}  // namespace scalarpath

KERNEL(reciprocal_sum, ReciprocalSum)
