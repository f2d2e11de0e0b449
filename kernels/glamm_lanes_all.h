/* The kernels of one instruction set, GLAMM_ISA: every cumulant function, one to three coefficients. */
#define GLAMM_POINT GLAMM_BERNOULLI_POINT
#define GLAMM_NODE GLAMM_BERNOULLI_NODE
#define GLAMM_Q 1
#define GLAMM_LANES_NAME GLAMM_NAMED(glamm_lanes_bernoulli_1_, GLAMM_ISA)
#include "glamm_lanes.h"
#undef GLAMM_Q
#define GLAMM_Q 2
#define GLAMM_LANES_NAME GLAMM_NAMED(glamm_lanes_bernoulli_2_, GLAMM_ISA)
#include "glamm_lanes.h"
#undef GLAMM_Q
#define GLAMM_Q 3
#define GLAMM_LANES_NAME GLAMM_NAMED(glamm_lanes_bernoulli_3_, GLAMM_ISA)
#include "glamm_lanes.h"
#undef GLAMM_Q
#undef GLAMM_POINT
#undef GLAMM_NODE

#define GLAMM_POINT GLAMM_LOGISTIC_POINT
#define GLAMM_NODE GLAMM_LOGISTIC_NODE
#define GLAMM_Q 1
#define GLAMM_LANES_NAME GLAMM_NAMED(glamm_lanes_logistic_1_, GLAMM_ISA)
#include "glamm_lanes.h"
#undef GLAMM_Q
#define GLAMM_Q 2
#define GLAMM_LANES_NAME GLAMM_NAMED(glamm_lanes_logistic_2_, GLAMM_ISA)
#include "glamm_lanes.h"
#undef GLAMM_Q
#define GLAMM_Q 3
#define GLAMM_LANES_NAME GLAMM_NAMED(glamm_lanes_logistic_3_, GLAMM_ISA)
#include "glamm_lanes.h"
#undef GLAMM_Q
#undef GLAMM_POINT
#undef GLAMM_NODE

#define GLAMM_POINT GLAMM_EXPONENTIAL_POINT
#define GLAMM_NODE GLAMM_EXPONENTIAL_NODE
#define GLAMM_Q 1
#define GLAMM_LANES_NAME GLAMM_NAMED(glamm_lanes_exponential_1_, GLAMM_ISA)
#include "glamm_lanes.h"
#undef GLAMM_Q
#define GLAMM_Q 2
#define GLAMM_LANES_NAME GLAMM_NAMED(glamm_lanes_exponential_2_, GLAMM_ISA)
#include "glamm_lanes.h"
#undef GLAMM_Q
#define GLAMM_Q 3
#define GLAMM_LANES_NAME GLAMM_NAMED(glamm_lanes_exponential_3_, GLAMM_ISA)
#include "glamm_lanes.h"
#undef GLAMM_Q
#undef GLAMM_POINT
#undef GLAMM_NODE

static const glamm_lanes GLAMM_NAMED(glamm_lanes_table_, GLAMM_ISA)[3][GLAMM_LANES_MOST] = {
    {GLAMM_NAMED(glamm_lanes_bernoulli_1_, GLAMM_ISA),
     GLAMM_NAMED(glamm_lanes_bernoulli_2_, GLAMM_ISA),
     GLAMM_NAMED(glamm_lanes_bernoulli_3_, GLAMM_ISA)},
    {GLAMM_NAMED(glamm_lanes_logistic_1_, GLAMM_ISA),
     GLAMM_NAMED(glamm_lanes_logistic_2_, GLAMM_ISA),
     GLAMM_NAMED(glamm_lanes_logistic_3_, GLAMM_ISA)},
    {GLAMM_NAMED(glamm_lanes_exponential_1_, GLAMM_ISA),
     GLAMM_NAMED(glamm_lanes_exponential_2_, GLAMM_ISA),
     GLAMM_NAMED(glamm_lanes_exponential_3_, GLAMM_ISA)},
};

#undef GLAMM_ISA
