/* Two-level models with one random coefficient, GLAMM_LANES clusters at a time.
 *
 * A template, included once for each instruction set and cumulant function with these macros set:
 *   GLAMM_LANES_NAME   name of the function to define
 *   GLAMM_POINT(nu, y, m, d1, w, skew)
 *       sets d1 = derivative of the log density, w minus its second derivative
 *       and skew minus its third, at the linear predictor nu of a unit with response y and size m
 *       (m is 1 for a unit without a size and 0 for padding, for which all three must be 0)
 *   GLAMM_NODE(nu, y, m, part, factor, d1)
 *       sets part and factor, in [1, 2], so that the log density is y nu - part - log(factor), and d1
 * Lanes run over clusters, so that nothing is summed across lanes and no cluster has a remainder. Loops
 * over lanes have a constant length and no branches: compilers turn them into vector instructions.
 *
 * Formulas: docs/engine.md, the exact gradient with one latent coordinate.
 */

static int GLAMM_LANES_NAME(const ptrdiff_t *first, const ptrdiff_t *count, ptrdiff_t rows, ptrdiff_t nodes,
                     const double *z, const double *log_weight, const double *y, ptrdiff_t ny,
                     const double *o, const double *a, const double *weight, double tolerance, int sweeps,
                     double *mode, double *loglik, double *mean, double *variance, double *go, double *ga,
                     double *scratch, int *used) {
    enum { V = GLAMM_LANES };
    double *O = scratch, *A = O + rows * V, *Y = A + rows * V, *M = Y + rows * V, *D1 = M + rows * V;
    double *W = D1 + rows * V, *K = W + rows * V, *G = K + rows * V, *H = G + rows * V;
    double *value = H + rows * V, *product = value + nodes * V, *D = product + nodes * V;
    double u[V], slope[V], curve[V], low[V], high[V], cap[V], done[V], T[V], total[V];
    double linear0[V], linear1[V], zb[V], zz[V], hbar[V], shift[V], largest[V], last[V];
    ptrdiff_t i, r, v;
    int sweep, searching = 1;

    for (v = 0; v < V; v++) {
        const ptrdiff_t n = count[v];
        double widest = 1e-300;
        for (i = 0; i < n; i++) {
            const ptrdiff_t row = first[v] + i;
            O[i * V + v] = o[row];
            A[i * V + v] = a[row];
            Y[i * V + v] = y[row * ny];
            M[i * V + v] = ny > 1 ? y[row * ny + 1] : 1.0;
            widest = fabs(a[row]) > widest ? fabs(a[row]) : widest;
        }
        for (; i < rows; i++) {
            O[i * V + v] = A[i * V + v] = Y[i * V + v] = M[i * V + v] = 0.0;
        }
        u[v] = mode[v];
        low[v] = -INFINITY;
        high[v] = INFINITY;
        cap[v] = 5.0 / widest;
        done[v] = 0.0;
        last[v] = INFINITY;
    }

    /* modes: the derivative of the log posterior falls, so its sign keeps a bracket around its root */
    for (sweep = 0; sweep < sweeps && searching; sweep++) {
        for (v = 0; v < V; v++) {
            slope[v] = -u[v];
            curve[v] = 1.0;
        }
        for (i = 0; i < rows; i++) {
            GLAMM_LOOP
            for (v = 0; v < V; v++) {
                const double nu = O[i * V + v] + A[i * V + v] * u[v];
                double d1, w, skew;
                GLAMM_POINT(nu, Y[i * V + v], M[i * V + v], d1, w, skew);
                D1[i * V + v] = d1;
                W[i * V + v] = w;
                K[i * V + v] = skew;
                slope[v] += A[i * V + v] * d1;
                curve[v] += A[i * V + v] * A[i * V + v] * w;
            }
        }
        searching = 0;
        for (v = 0; v < V; v++) {
            double step, to;
            if (done[v] != 0.0) {
                continue;
            }
            step = slope[v] / curve[v];
            /* a small decrement that no longer falls is as small as rounding lets it be */
            if (slope[v] * step < tolerance * tolerance ||
                (slope[v] * step < 1e-12 && slope[v] * step > 0.25 * last[v])) {
                done[v] = 1.0;
                continue;
            }
            if (!(step == step)) {
                return 1;
            }
            last[v] = slope[v] * step;
            if (slope[v] > 0.0) {
                low[v] = u[v];
            } else {
                high[v] = u[v];
            }
            step = step > cap[v] ? cap[v] : (step < -cap[v] ? -cap[v] : step);
            to = u[v] + step;
            if (to <= low[v] || to >= high[v]) {
                to = 0.5 * (low[v] + high[v]);
                /* no number lies between the ends: the root is found to the last digit */
                if (to == low[v] || to == high[v]) {
                    done[v] = 1.0;
                    continue;
                }
            }
            u[v] = to;
            searching = 1;
        }
    }
    *used = sweep;
    if (searching) {
        return 1;
    }
    for (v = 0; v < V; v++) {
        mode[v] = u[v];
        T[v] = 1.0 / sqrt(curve[v]);
        linear0[v] = linear1[v] = 0.0;
    }

    /* nodes */
    for (r = 0; r < nodes * V; r++) {
        value[r] = 0.0;
        product[r] = 1.0;
    }
    for (i = 0; i < rows; i++) {
        double centre[V], spread[V];
        GLAMM_LOOP
        for (v = 0; v < V; v++) {
            centre[v] = O[i * V + v] + A[i * V + v] * u[v];
            spread[v] = A[i * V + v] * T[v];
            linear0[v] += Y[i * V + v] * centre[v];
            linear1[v] += Y[i * V + v] * spread[v];
        }
        for (r = 0; r < nodes; r++) {
            const double zr = z[r];
            GLAMM_LOOP
            for (v = 0; v < V; v++) {
                const double nu = centre[v] + spread[v] * zr;
                double part, factor, d1;
                GLAMM_NODE(nu, Y[i * V + v], M[i * V + v], part, factor, d1);
                D[(i * nodes + r) * V + v] = d1;
                value[r * V + v] -= part;
                product[r * V + v] *= factor;
            }
        }
        if ((i & 511) == 511 || i == rows - 1) {
            for (r = 0; r < nodes * V; r++) {
                value[r] -= glamm_log_positive(product[r]);
                product[r] = 1.0;
            }
        }
    }
    for (v = 0; v < V; v++) {
        largest[v] = -INFINITY;
        total[v] = zb[v] = zz[v] = 0.0;
    }
    for (r = 0; r < nodes; r++) {
        for (v = 0; v < V; v++) {
            const double at = u[v] + T[v] * z[r];
            double *x = &value[r * V + v];
            *x += linear0[v] + linear1[v] * z[r] + log_weight[r] - 0.5 * at * at;
            largest[v] = *x > largest[v] ? *x : largest[v];
        }
    }
    for (r = 0; r < nodes; r++) {
        GLAMM_LOOP
        for (v = 0; v < V; v++) {
            const double p = glamm_exp(value[r * V + v] - largest[v]);
            value[r * V + v] = p;
            total[v] += p;
        }
    }
    for (v = 0; v < V; v++) {
        loglik[v] = largest[v] + log(total[v]) + log(T[v]);
        if (!(fabs(loglik[v]) < INFINITY)) {
            return 1;
        }
        total[v] = 1.0 / total[v];
    }
    for (r = 0; r < nodes; r++) {
        for (v = 0; v < V; v++) {
            const double p = value[r * V + v] * total[v];
            value[r * V + v] = p;
            zb[v] += p * z[r];
            zz[v] += p * z[r] * z[r];
        }
    }
    if (mean != NULL) {
        for (v = 0; v < V; v++) {
            mean[v] = u[v] + T[v] * zb[v];
            variance[v] = T[v] * T[v] * (zz[v] - zb[v] * zb[v]);
        }
    }
    if (go == NULL) {
        return 0;
    }

    /* the exact gradient: G and H are posterior expectations of d1 and d1 z */
    for (v = 0; v < V; v++) {
        linear0[v] = linear1[v] = 0.0;
    }
    for (i = 0; i < rows; i++) {
        double g[V], h[V];
        for (v = 0; v < V; v++) {
            g[v] = h[v] = 0.0;
        }
        for (r = 0; r < nodes; r++) {
            const double zr = z[r];
            GLAMM_LOOP
            for (v = 0; v < V; v++) {
                const double t = value[r * V + v] * D[(i * nodes + r) * V + v];
                g[v] += t;
                h[v] += t * zr;
            }
        }
        GLAMM_LOOP
        for (v = 0; v < V; v++) {
            G[i * V + v] = g[v];
            H[i * V + v] = h[v];
            linear0[v] += A[i * V + v] * g[v];
            linear1[v] += A[i * V + v] * h[v];
        }
    }
    for (v = 0; v < V; v++) {
        const double moved = linear1[v] - u[v] * zb[v] - T[v] * zz[v];
        hbar[v] = -0.5 * T[v] * T[v] * (1.0 + moved * T[v]);
        shift[v] = linear0[v] - u[v] - T[v] * zb[v];
    }
    for (i = 0; i < rows; i++) {
        GLAMM_LOOP
        for (v = 0; v < V; v++) {
            const double a1 = A[i * V + v];
            shift[v] += hbar[v] * a1 * a1 * a1 * K[i * V + v];
        }
    }
    for (v = 0; v < V; v++) {
        shift[v] *= T[v] * T[v];
    }
    for (i = 0; i < rows; i++) {
        GLAMM_LOOP
        for (v = 0; v < V; v++) {
            const double a1 = A[i * V + v];
            const double e = hbar[v] * a1 * a1 * K[i * V + v] - a1 * shift[v] * W[i * V + v];
            const double all = G[i * V + v] + e;
            G[i * V + v] = weight[v] * all;
            H[i * V + v] = weight[v] * (all * u[v] + T[v] * H[i * V + v] + 2.0 * W[i * V + v] * hbar[v] * a1
                                        + D1[i * V + v] * shift[v]);
        }
    }
    for (v = 0; v < V; v++) {
        const ptrdiff_t n = count[v];
        for (i = 0; i < n; i++) {
            go[first[v] + i] = G[i * V + v];
            ga[first[v] + i] = H[i * V + v];
        }
    }
    return 0;
}

#undef GLAMM_LANES_NAME
#undef GLAMM_POINT
#undef GLAMM_NODE
