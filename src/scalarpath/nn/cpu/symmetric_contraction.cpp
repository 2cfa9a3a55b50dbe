// Symmetric contractions with their first and second derivatives, from the terms that are not zero (see
// nn/contraction/monomials.py):
//     v = 1, A, v[parent] v[factor]                B_M = sum_t coefficient[t] v[left[t]] v[right[t]]
//
// Lanes are channels. Two atoms of a species go together, so that indices and coefficients are read once for both.
#include <algorithm>
#include <memory>
#include <vector>

#include "dual.h"
#include "kernel.h"
#include "lanes.h"

namespace scalarpath {
namespace {

constexpr int64_t TOGETHER = 2;  // atoms

// Up to one vector of numbers; those that are missing are zero.
template <class T>
typename Lanes<T>::type load_some(const T* from, int64_t count) {
    typename Lanes<T>::type values{};
    if (count == Lanes<T>::count) return load<typename Lanes<T>::type>(from);
    for (int64_t k = 0; k < count; k++) values[k] = from[k];
    return values;
}
template <class T>
void store_some(T* to, typename Lanes<T>::type values, int64_t count) {
    if (count == Lanes<T>::count) return store(to, values);
    for (int64_t k = 0; k < count; k++) to[k] = values[k];
}

// Numbers without or with tangents, where N says so.
template <class N, class T>
typename N::template Of<typename Lanes<T>::type> get_some(const T* values, const T* tangents, int64_t count) {
    if constexpr (std::is_same_v<N, Plain<T>>)
        return load_some(values, count);
    else
        return {load_some(values, count), load_some(tangents, count)};
}

// Tensors [atoms, 2l + 1, channels] of the degrees 0, 1, ... as rows of one array.
template <class T>
struct Rows {
    struct Row {
        T* first;
        int64_t stride;
    };
    std::vector<Row> rows;
    Rows(T* const* tensors, int64_t degrees, int64_t channels) {
        for (int64_t l = 0; l < degrees; l++)
            for (int64_t m = 0; m < 2 * l + 1; m++)
                rows.push_back({tensors && tensors[l] ? tensors[l] + m * channels : nullptr, (2 * l + 1) * channels});
    }
    int64_t count() const { return rows.size(); }
    T* of(int64_t row, int64_t atom) const { return rows[row].first ? rows[row].first + atom * rows[row].stride : nullptr; }
};

// All atoms in one vector of channels. NA, NC: whether A and the coefficients have tangents.
template <class T, class NA, class NC>
class Contractor {
    using V = typename Lanes<T>::type;
    using A = typename NA::template Of<V>;
    using C = typename NC::template Of<V>;
    struct Several {
        A of[TOGETHER];
    };

   public:
    Contractor(const Contraction<T>& n, const Call<T>& call)
        : n(n), call(call), a(call.inputs + 1, n.degrees, n.channels), out(call.values, n.outputs, n.channels),
          a_t(call.tangents ? call.tangents + 1 : nullptr, n.degrees, n.channels), g(call.gradients, n.outputs, n.channels),
          by_a(call.by_inputs ? call.by_inputs + 1 : nullptr, n.degrees, n.channels), coefficient(new C[n.terms]),
          by_coefficient(new V[n.terms]), v(new Several[1 + a.count() + n.products]),
          by_v(new Several[1 + a.count() + n.products]) {}

    void channels_from(int64_t c) {
        const int64_t filled = std::min(Lanes<T>::count, n.channels - c);
        T* by = call.by_inputs ? call.by_inputs[0] : nullptr;
        for (int64_t s = 0, begin = 0; s < n.species; begin += n.counts[s++]) {
            const int64_t first = s * n.terms * n.channels + c, end = begin + n.counts[s];
            const T *values = call.inputs[0] + first, *tangents = call.tangents ? call.tangents[0] + first : nullptr;
            for (int64_t t = 0; t < n.terms; t++) {
                coefficient[t] = get_some<NC>(values + t * n.channels, tangents + t * n.channels, filled);
                by_coefficient[t] = V{};
            }
            for (int64_t k = begin; k < end; k += TOGETHER) {
                const int64_t atoms = std::min(TOGETHER, end - k);
                expand(n.order + k, atoms, c, filled);
                if (call.gradients)
                    differentiate(n.order + k, atoms, c, filled);
                else
                    contract(n.order + k, atoms, c, filled);
            }
            for (int64_t t = 0; by && t < n.terms; t++) store_some(by + first + t * n.channels, by_coefficient[t], filled);
        }
    }

   private:
    void expand(const int64_t* atom, int64_t atoms, int64_t c, int64_t filled) {
        for (int64_t j = 0; j < TOGETHER; j++) {
            v[0].of[j] = A{V{} + T(1)};
            for (int64_t m = 0; m < a.count(); m++)
                v[1 + m].of[j] = j < atoms ? get_some<NA>(a.of(m, atom[j]) + c, a_t.of(m, atom[j]) + c, filled) : A{};
        }
        Several* next = v.get() + 1 + a.count();
        for (int64_t k = 0; k < n.products; k++)
            for (int64_t j = 0; j < TOGETHER; j++) next[k].of[j] = v[n.parent[k]].of[j] * v[n.factor[k]].of[j];
    }

    void contract(const int64_t* atom, int64_t atoms, int64_t c, int64_t filled) {
        for (int64_t m = 0; m < out.count(); m++) {
            V total[TOGETHER] = {};
            for (int64_t t = n.first_term[m]; t < n.first_term[m + 1]; t++)
                for (int64_t j = 0; j < TOGETHER; j++)
                    total[j] += result(coefficient[t] * (v[n.left[t]].of[j] * v[n.right[t]].of[j]));
            for (int64_t j = 0; j < atoms; j++) store_some(out.of(m, atom[j]) + c, total[j], filled);
        }
    }

    // The gradients, and with tangents the values too.
    void differentiate(const int64_t* atom, int64_t atoms, int64_t c, int64_t filled) {
        std::fill_n(by_v.get(), 1 + a.count() + n.products, Several{});
        for (int64_t m = 0; m < g.count(); m++) {
            V gradient[TOGETHER] = {}, total[TOGETHER] = {};
            for (int64_t j = 0; j < atoms; j++) gradient[j] = load_some(g.of(m, atom[j]) + c, filled);
            for (int64_t t = n.first_term[m]; t < n.first_term[m + 1]; t++) {
                const C factor = coefficient[t];
                const Several left = v[n.left[t]], right = v[n.right[t]];
                Several &by_left = by_v[n.left[t]], &by_right = by_v[n.right[t]];
                V by_factor = by_coefficient[t];
                for (int64_t j = 0; j < TOGETHER; j++) {
                    const A product = left.of[j] * right.of[j];
                    const C weight = factor * gradient[j];
                    total[j] += result(factor * product);
                    by_factor += result(product) * gradient[j];
                    by_left.of[j] += weight * right.of[j];
                    by_right.of[j] += weight * left.of[j];
                }
                by_coefficient[t] = by_factor;
            }
            for (int64_t j = 0; call.values && j < atoms; j++) store_some(out.of(m, atom[j]) + c, total[j], filled);
        }
        for (int64_t k = n.products - 1; k >= 0; k--)
            for (int64_t j = 0; j < TOGETHER; j++) {
                const A from = by_v[1 + a.count() + k].of[j];
                by_v[n.parent[k]].of[j] += from * v[n.factor[k]].of[j];
                by_v[n.factor[k]].of[j] += from * v[n.parent[k]].of[j];
            }
        for (int64_t m = 0; m < a.count(); m++)
            for (int64_t j = 0; j < atoms; j++)
                if (T* to = by_a.of(m, atom[j])) store_some(to + c, result(by_v[1 + m].of[j]), filled);
    }

    const Contraction<T>& n;
    const Call<T>& call;
    const Rows<T> a, out, a_t, g, by_a;
    const std::unique_ptr<C[]> coefficient;
    const std::unique_ptr<V[]> by_coefficient;
    const std::unique_ptr<Several[]> v, by_v;
};

template <class T, class NA, class NC>
void contract(const Contraction<T>& n, const Call<T>& call) {
#pragma omp parallel num_threads(n.threads)
    {
        Contractor<T, NA, NC> contractor(n, call);
#pragma omp for schedule(static)
        for (int64_t c = 0; c < n.channels; c += Lanes<T>::count) contractor.channels_from(c);
    }
}

template <class T>
void symmetric_contraction(const Contraction<T>& n, const Call<T>& call) {
    if (!call.tangents)
        contract<T, Plain<T>, Plain<T>>(n, call);
    else if (!call.tangents[0])
        contract<T, WithTangents<T>, Plain<T>>(n, call);
    else
        contract<T, WithTangents<T>, WithTangents<T>>(n, call);
}

}  // namespace
}  // namespace scalarpath

KERNEL(symmetric_contraction, Contraction)
