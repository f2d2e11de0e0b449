/* The zero-inflated Poisson log density of channels nu = log(mu) and z = logit(pi), to second order. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>

#include "glamm_block.h"

static int block(ptrdiff_t n, ptrdiff_t m, const double *y, ptrdiff_t ny, const double *const *nu,
                 const ptrdiff_t *node_stride, double *ll, double *const *d1, double *const *d2,
                 double *const *d3, void *user) {
    (void)user;
    if (d3 != NULL)
        return 1;
    for (ptrdiff_t i = 0; i < n; i++) {
        const double count = y[i * ny], constant = lgamma(count + 1.0);
        for (ptrdiff_t r = 0; r < m; r++) {
            const ptrdiff_t at = i * m + r;
            const double x = fmin(nu[0][node_stride[0] ? at : i], 300.0);
            const double z = nu[1][node_stride[1] ? at : i];
            const double mu = exp(x), t = exp(-fabs(z));
            const double p = z >= 0.0 ? 1.0 / (1.0 + t) : t / (1.0 + t);
            const double log_no = -fmax(z, 0.0) - log1p(t); /* log(1 - pi) */
            const double pq = t / ((1.0 + t) * (1.0 + t));
            if (count > 0.0) {
                ll[at] = log_no + count * x - mu - constant;
                if (d1 != NULL) {
                    d1[0][at] = count - mu;
                    d1[1][at] = -p;
                }
                if (d2 != NULL) {
                    d2[0][at] = -mu;
                    d2[1][at] = 0.0;
                    d2[2][at] = -pq;
                }
            } else {
                const double odds = z + mu, s = exp(-fabs(odds)); /* of an inflated zero, given a zero */
                const double w = odds >= 0.0 ? s / (1.0 + s) : 1.0 / (1.0 + s);
                const double ww = s / ((1.0 + s) * (1.0 + s));
                ll[at] = log_no + fmax(z, -mu) + log1p(s);
                if (d1 != NULL) {
                    d1[0][at] = -w * mu;
                    d1[1][at] = 1.0 - w - p;
                }
                if (d2 != NULL) {
                    d2[0][at] = mu * mu * ww - mu * w;
                    d2[1][at] = mu * ww;
                    d2[2][at] = ww - pq;
                }
            }
        }
    }
    return 0;
}

static PyObject *capsule(PyObject *self, PyObject *unused) {
    (void)self;
    (void)unused;
    return PyCapsule_New((void *)block, GLAMM_BLOCK_V1, NULL);
}

static PyMethodDef methods[] = {{"capsule", capsule, METH_NOARGS, "Return the block function."}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_block", NULL, 0, methods, 0, 0, 0, 0};

PyMODINIT_FUNC PyInit__block(void) { return PyModule_Create(&module); }
