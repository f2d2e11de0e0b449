/* Two-level models with GLAMM_Q random coefficients, GLAMM_LANES clusters at a time.
 *
 * A template, included once for each instruction set, cumulant function and number of coefficients with
 * these macros set:
 *   GLAMM_LANES_NAME   name of the function to define
 *   GLAMM_Q            number of random coefficients
 *   GLAMM_POINT(nu, y, m, part, factor, d1, w, skew)
 *       sets part and factor, in [1, 2], so that the log density without constants is
 *       y nu - part - log(factor), d1 its derivative, w minus its second derivative and skew minus its
 *       third, at the linear predictor nu of a unit with response y and size m (1 for a unit without a
 *       size and 0 for padding, for which factor must be 1 and the others 0)
 *   GLAMM_NODE(nu, y, m, part, factor, d1)
 *       the same for a quadrature node
 * Lanes run over clusters, so that nothing is summed across lanes and no cluster has a remainder. Loops
 * over lanes have a constant length and no branches: compilers turn them into vector instructions.
 *
 * Formulas: docs/engine.md, the exact gradient of one level. L is the Cholesky factor of the Hessian at
 * the mode, T its inverse transpose; both are kept as triangles.
 */

#define LANES for (v = 0; v < GLAMM_LANES; v++)

static int GLAMM_LANES_NAME(const glamm_lanes_task *task, const ptrdiff_t *first, const ptrdiff_t *count,
                            ptrdiff_t rows, const double *weight, double *mode, double *loglik,
                            double *mean, double *cov, double *scratch, int *used) {
    enum { V = GLAMM_LANES, Q = GLAMM_Q };
    const ptrdiff_t nodes = task->nodes, block = rows * V;
    const double *z = task->z;
    double *O = scratch, *Y = O + block, *M = Y + block, *D1 = M + block, *W = D1 + block;
    double *K = W + block, *G = K + block, *A = G + block, *H = A + Q * block;
    double *value = H + Q * block, *product = value + nodes * V, *D = product + nodes * V;
    double u[Q][V], old[Q][V], step[Q][V], slope[Q][V], L[Q][Q][V], T[Q][Q][V], B[Q][Q][V];
    double e1[Q][V], e2[Q][Q][V], moved[Q][Q][V], tmp[Q][Q][V], lbar[Q][Q][V], linear[Q + 1][V];
    double at[V], accepted[V], decrement[V], last[V], cap[V], done[V], halved[V], total[V], largest[V];
    ptrdiff_t i, r, v, x, y, k;
    int sweep, searching = 1;

    LANES {
        double widest[Q];
        for (x = 0; x < Q; x++) widest[x] = 1e-300;
        for (i = 0; i < count[v]; i++) {
            const ptrdiff_t row = first[v] + i;
            O[i * V + v] = task->o[row];
            Y[i * V + v] = task->y[row * task->ny];
            M[i * V + v] = task->ny > 1 ? task->y[row * task->ny + 1] : 1.0;
            for (x = 0; x < Q; x++) {
                const double a = task->a[row * Q + x];
                A[x * block + i * V + v] = a;
                widest[x] = fabs(a) > widest[x] ? fabs(a) : widest[x];
            }
        }
        for (i = count[v]; i < rows; i++) {
            O[i * V + v] = Y[i * V + v] = M[i * V + v] = 0.0;
            for (x = 0; x < Q; x++) A[x * block + i * V + v] = 0.0;
        }
        cap[v] = 0.0;
        for (x = 0; x < Q; x++) {
            u[x][v] = old[x][v] = mode[v * Q + x];
            step[x][v] = 0.0;
            cap[v] += widest[x] * widest[x];
        }
        /* no step may move a linear predictor by more than 5 */
        cap[v] = 5.0 / sqrt(cap[v]);
        accepted[v] = -INFINITY;
        last[v] = INFINITY;
        done[v] = halved[v] = 0.0;
    }

    /* modes: Newton's method, every lane with its own steps */
    for (sweep = 0; sweep < task->sweeps && searching; sweep++) {
        LANES {
            at[v] = 0.0;
            total[v] = 1.0;
        }
        for (x = 0; x < Q; x++) {
            LANES {
                slope[x][v] = -u[x][v];
                at[v] -= 0.5 * u[x][v] * u[x][v];
            }
            for (y = 0; y <= x; y++) LANES L[x][y][v] = x == y ? 1.0 : 0.0;
        }
        for (i = 0; i < rows; i++) {
            GLAMM_LOOP
            LANES {
                double nu = O[i * V + v], part, factor, d1, w, skew;
                for (x = 0; x < Q; x++) nu += A[x * block + i * V + v] * u[x][v];
                GLAMM_POINT(nu, Y[i * V + v], M[i * V + v], part, factor, d1, w, skew);
                D1[i * V + v] = d1;
                W[i * V + v] = w;
                K[i * V + v] = skew;
                at[v] += Y[i * V + v] * nu - part;
                total[v] *= factor;
            }
            for (x = 0; x < Q; x++) {
                const double *ax = A + x * block + i * V;
                LANES slope[x][v] += ax[v] * D1[i * V + v];
                for (y = 0; y <= x; y++) {
                    const double *ay = A + y * block + i * V;
                    LANES L[x][y][v] += W[i * V + v] * ax[v] * ay[v];
                }
            }
            if ((i & 511) == 511 || i == rows - 1) {
                LANES {
                    at[v] -= glamm_log_positive(total[v]);
                    total[v] = 1.0;
                }
            }
        }
        /* L becomes the Cholesky factor, T its inverse transpose */
        for (x = 0; x < Q; x++) {
            for (y = 0; y <= x; y++) {
                for (k = 0; k < y; k++) LANES L[x][y][v] -= L[x][k][v] * L[y][k][v];
                LANES L[x][y][v] = x == y ? sqrt(L[x][x][v]) : L[x][y][v] / L[y][y][v];
            }
        }
        for (y = 0; y < Q; y++) {
            LANES T[y][y][v] = 1.0 / L[y][y][v];
            for (x = y + 1; x < Q; x++) {
                LANES {
                    double s = 0.0;
                    for (k = y; k < x; k++) s -= L[x][k][v] * T[y][k][v];
                    T[y][x][v] = s / L[x][x][v];
                }
            }
        }
        LANES decrement[v] = 0.0;
        for (x = 0; x < Q; x++) {
            LANES {
                double s = 0.0;
                for (k = 0; k <= x; k++) s += T[k][x][v] * slope[k][v];
                tmp[0][x][v] = s;
                decrement[v] += s * s;
            }
        }
        searching = 0;
        LANES {
            double scale = 1.0, size = 0.0;
            if (done[v] != 0.0) {
                continue;
            }
            if (!(at[v] >= accepted[v] - 1e-9 * (1.0 + fabs(at[v])))) {
                /* too far: half of the last move */
                halved[v] += 1.0;
                if (halved[v] > 40.0) {
                    return 1;
                }
                for (x = 0; x < Q; x++) {
                    step[x][v] *= 0.5;
                    u[x][v] = old[x][v] + step[x][v];
                }
                searching = 1;
                continue;
            }
            /* a small decrement that no longer falls is as small as rounding lets it be */
            if (decrement[v] < task->tolerance * task->tolerance ||
                (decrement[v] < 1e-12 && decrement[v] > 0.25 * last[v])) {
                done[v] = 1.0;
                continue;
            }
            if (!(decrement[v] < INFINITY)) {
                return 1;
            }
            accepted[v] = at[v];
            last[v] = decrement[v];
            halved[v] = 0.0;
            for (x = 0; x < Q; x++) {
                double s = 0.0;
                for (k = x; k < Q; k++) s += T[x][k][v] * tmp[0][k][v];
                step[x][v] = s;
                size += s * s;
            }
            size = sqrt(size);
            scale = size > cap[v] ? cap[v] / size : 1.0;
            for (x = 0; x < Q; x++) {
                step[x][v] *= scale;
                old[x][v] = u[x][v];
                u[x][v] += step[x][v];
            }
            searching = 1;
        }
    }
    *used = sweep;
    if (searching) {
        return 1;
    }

    /* nodes */
    for (x = 0; x <= Q; x++) LANES linear[x][v] = 0.0;
    for (r = 0; r < nodes * V; r++) {
        value[r] = 0.0;
        product[r] = 1.0;
    }
    for (i = 0; i < rows; i++) {
        double centre[V], spread[Q][V];
        LANES {
            centre[v] = O[i * V + v];
            for (x = 0; x < Q; x++) {
                centre[v] += A[x * block + i * V + v] * u[x][v];
                spread[x][v] = 0.0;
                for (k = 0; k <= x; k++) spread[x][v] += T[k][x][v] * A[k * block + i * V + v];
                linear[x][v] += Y[i * V + v] * spread[x][v];
            }
            linear[Q][v] += Y[i * V + v] * centre[v];
        }
        for (r = 0; r < nodes; r++) {
            double zr[Q];
            for (x = 0; x < Q; x++) zr[x] = z[x * nodes + r];
            GLAMM_LOOP
            LANES {
                double nu = centre[v], part, factor, d1;
                for (x = 0; x < Q; x++) nu += spread[x][v] * zr[x];
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
    LANES largest[v] = -INFINITY;
    for (r = 0; r < nodes; r++) {
        LANES {
            double *to = &value[r * V + v];
            *to += linear[Q][v] + task->log_weight[r];
            for (x = 0; x < Q; x++) {
                double s = u[x][v];
                for (k = x; k < Q; k++) s += T[x][k][v] * z[k * nodes + r];
                *to += linear[x][v] * z[x * nodes + r] - 0.5 * s * s;
            }
            largest[v] = *to > largest[v] ? *to : largest[v];
        }
    }
    LANES total[v] = 0.0;
    for (r = 0; r < nodes; r++) {
        GLAMM_LOOP
        LANES {
            const double p = glamm_exp(value[r * V + v] - largest[v]);
            value[r * V + v] = p;
            total[v] += p;
        }
    }
    LANES {
        loglik[v] = largest[v] + log(total[v]);
        for (x = 0; x < Q; x++) loglik[v] += log(T[x][x][v]);
        if (!(fabs(loglik[v]) < INFINITY)) {
            return 1;
        }
        total[v] = 1.0 / total[v];
        for (x = 0; x < Q; x++) {
            mode[v * Q + x] = u[x][v];
            e1[x][v] = 0.0;
            for (y = 0; y < Q; y++) e2[x][y][v] = 0.0;
        }
    }
    for (r = 0; r < nodes; r++) {
        LANES {
            const double p = value[r * V + v] * total[v];
            value[r * V + v] = p;
            for (x = 0; x < Q; x++) {
                e1[x][v] += p * z[x * nodes + r];
                for (y = 0; y < Q; y++) e2[x][y][v] += p * z[x * nodes + r] * z[y * nodes + r];
            }
        }
    }
    if (mean != NULL) {
        LANES {
            for (x = 0; x < Q; x++) {
                double s = u[x][v];
                for (k = x; k < Q; k++) s += T[x][k][v] * e1[k][v];
                mean[v * Q + x] = s;
                for (y = 0; y < Q; y++) {
                    s = 0.0;
                    for (k = x; k < Q; k++)
                        for (i = y; i < Q; i++)
                            s += T[x][k][v] * (e2[k][i][v] - e1[k][v] * e1[i][v]) * T[y][i][v];
                    cov[(v * Q + x) * Q + y] = s;
                }
            }
        }
    }
    if (task->go == NULL) {
        return 0;
    }

    /* the exact gradient: G and H are posterior expectations of d1 and d1 z; slope is the adjoint of the
     * mode, moved that of the nodes times z */
    for (x = 0; x < Q; x++) {
        LANES {
            slope[x][v] = -u[x][v];
            for (k = x; k < Q; k++) slope[x][v] -= T[x][k][v] * e1[k][v];
            for (y = 0; y < Q; y++) {
                moved[x][y][v] = -u[x][v] * e1[y][v];
                for (k = x; k < Q; k++) moved[x][y][v] -= T[x][k][v] * e2[k][y][v];
            }
        }
    }
    for (i = 0; i < rows; i++) {
        double g[V], h[Q][V];
        LANES g[v] = 0.0;
        for (x = 0; x < Q; x++) LANES h[x][v] = 0.0;
        for (r = 0; r < nodes; r++) {
            const double *p = value + r * V, *d = D + (i * nodes + r) * V;
            double t[V];
            LANES t[v] = p[v] * d[v];
            LANES g[v] += t[v];
            for (x = 0; x < Q; x++) {
                const double zr = z[x * nodes + r];
                LANES h[x][v] += t[v] * zr;
            }
        }
        LANES {
            G[i * V + v] = g[v];
            for (x = 0; x < Q; x++) {
                const double a = A[x * block + i * V + v];
                H[x * block + i * V + v] = h[x][v];
                slope[x][v] += a * g[v];
                for (y = 0; y < Q; y++) moved[x][y][v] += a * h[y][v];
            }
        }
    }
    LANES {
        for (x = 0; x < Q; x++) {
            for (y = 0; y < Q; y++) {
                tmp[x][y][v] = 0.0;
                for (k = x; k < Q; k++) tmp[x][y][v] += T[x][k][v] * moved[y][k][v];
            }
        }
        for (x = 0; x < Q; x++) {
            for (y = 0; y <= x; y++) {
                double s = x == y ? T[x][x][v] : 0.0;
                for (k = 0; k <= y; k++) s += tmp[x][k][v] * T[k][y][v];
                lbar[x][y][v] = -s;
            }
        }
        for (x = 0; x < Q; x++) {
            for (y = 0; y <= x; y++) {
                double s = 0.0;
                for (k = x; k < Q; k++) s += L[k][x][v] * lbar[k][y][v];
                tmp[x][y][v] = tmp[y][x][v] = 0.5 * s;
            }
        }
        for (x = 0; x < Q; x++) {
            for (y = 0; y < Q; y++) {
                double s = 0.0;
                for (k = x; k < Q; k++)
                    for (r = y; r < Q; r++) s += T[x][k][v] * tmp[k][r][v] * T[y][r][v];
                B[x][y][v] = s;
            }
        }
    }
    for (i = 0; i < rows; i++) {
        GLAMM_LOOP
        LANES {
            double curve = 0.0;
            for (x = 0; x < Q; x++)
                for (y = 0; y < Q; y++)
                    curve += A[x * block + i * V + v] * B[x][y][v] * A[y * block + i * V + v];
            /* from here on skew holds the part of the gradient through the scale of the nodes */
            K[i * V + v] *= curve;
            for (x = 0; x < Q; x++) slope[x][v] += A[x * block + i * V + v] * K[i * V + v];
        }
    }
    LANES {
        double half[Q];
        for (x = 0; x < Q; x++) {
            half[x] = 0.0;
            for (k = 0; k <= x; k++) half[x] += T[k][x][v] * slope[k][v];
        }
        for (x = 0; x < Q; x++) {
            step[x][v] = 0.0;
            for (k = x; k < Q; k++) step[x][v] += T[x][k][v] * half[k];
        }
    }
    LANES {
        for (i = 0; i < count[v]; i++) {
            const ptrdiff_t row = first[v] + i;
            double all = G[i * V + v] + K[i * V + v];
            for (x = 0; x < Q; x++) all -= W[i * V + v] * A[x * block + i * V + v] * step[x][v];
            task->go[row] = weight[v] * all;
            for (x = 0; x < Q; x++) {
                double s = all * u[x][v] + D1[i * V + v] * step[x][v];
                for (k = x; k < Q; k++) s += T[x][k][v] * H[k * block + i * V + v];
                for (y = 0; y < Q; y++) s += 2.0 * W[i * V + v] * B[x][y][v] * A[y * block + i * V + v];
                task->ga[row * Q + x] = weight[v] * s;
            }
        }
    }
    return 0;
}

#undef LANES
#undef GLAMM_LANES_NAME
