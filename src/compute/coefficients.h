/* SPDX-License-Identifier: Apache-2.0 */
/* Written by scripts/fit_kernels.py: minimax polynomials by Remez's exchange algorithm. */
#ifndef FBY_COMPUTE_COEFFICIENTS_H
#define FBY_COMPUTE_COEFFICIENTS_H

/* 2^r on [-1/2, 1/2], c[0] + c[1] r + …: relative error 2.6e-9, none at 0. */
static const float fby_exp2_coefficients[7] = {
    0x1.0p+0f,      0x1.62e432p-1f,  0x1.ebfbe2p-3f,  0x1.c6ae72p-5f,
    0x1.3b270ep-7f, 0x1.5f7276p-10f, 0x1.470b46p-13f,
};

/* x Phi(-x), Phi the normal distribution's, is x / P(x)^16 for x >= 0, an idea of Hastings 1955
 * (Abramowitz and Stegun 7.1.28), fitted to this function: error 2.1e-7. */
static const float fby_gelu_coefficients[7] = {
    0x1.0b5598p+0f,  0x1.aa8214p-5f,  0x1.6a4fap-6f,   0x1.b9c7eep-9f,
    0x1.3be37ep-14f, 0x1.4ca0a6p-15f, 0x1.d4ee26p-18f,
};

/* The same by 31 cubics in r, x = (i + r) step, |r| <= 1/2, and one of zeros beyond 5.2;
 * power by power: error 4.1e-7. */
#define FBY_GELU_STEPS_PER_UNIT 0x1.776276p+2f
static const float fby_gelu_table[4][32] = {
    {0.0f,
     0x1.2de57ep-4f,
     0x1.fff57p-4f,
     0x1.3ef92cp-3f,
     0x1.59db52p-3f,
     0x1.57e4f2p-3f,
     0x1.40e1f4p-3f,
     0x1.1c5ff8p-3f,
     0x1.e2191ep-4f,
     0x1.8893eep-4f,
     0x1.34000ep-4f,
     0x1.d28efap-5f,
     0x1.559ef2p-5f,
     0x1.e42432p-6f,
     0x1.4c3f42p-6f,
     0x1.b9e5f2p-7f,
     0x1.1ce5bp-7f,
     0x1.644308p-8f,
     0x1.b02b56p-9f,
     0x1.fcab9p-10f,
     0x1.2282c6p-10f,
     0x1.42128cp-11f,
     0x1.5a99fap-12f,
     0x1.6a1ad2p-13f,
     0x1.6f482ap-14f,
     0x1.69b49p-15f,
     0x1.59e116p-16f,
     0x1.412a56p-17f,
     0x1.21973cp-18f,
     0x1.fb26a2p-20f,
     0x1.af4278p-21f,
     0.0f},
    {0x1.5d2c28p-4f,   0x1.fe2bc2p-5f,   0x1.4cb2c4p-5f,   0x1.5e8152p-6f,
     0x1.65b2c4p-8f,   -0x1.b94a96p-8f,  -0x1.ef6abcp-7f,  -0x1.4774bp-6f,
     -0x1.668e12p-6f,  -0x1.606798p-6f,  -0x1.40f77ap-6f,  -0x1.133e2p-6f,
     -0x1.c082c8p-7f,  -0x1.5d2844p-7f,  -0x1.04af54p-7f,  -0x1.764cbp-8f,
     -0x1.02e012p-8f,  -0x1.59764cp-9f,  -0x1.bd3b52p-10f, -0x1.15523p-10f,
     -0x1.4e265ap-11f, -0x1.85a476p-12f, -0x1.b7e57ep-13f, -0x1.e1026cp-14f,
     -0x1.fd93b4p-15f, -0x1.059426p-15f, -0x1.044efcp-16f, -0x1.f6494p-18f,
     -0x1.d5e5c8p-19f, -0x1.aa5262p-20f, -0x1.77277p-21f,  0.0f},
    {-0x1.7c7f16p-7f,  -0x1.70a138p-7f, -0x1.5155cap-7f, -0x1.218f8p-7f,
     -0x1.ce0f34p-8f,  -0x1.5086bp-8f,  -0x1.ae10bcp-9f, -0x1.af0d3ap-10f,
     -0x1.5715ccp-12f, 0x1.48168p-11f,  0x1.407f78p-10f, 0x1.8bfd9ap-10f,
     0x1.98da44p-10f,  0x1.7b2382p-10f, 0x1.455422p-10f, 0x1.064904p-10f,
     0x1.90eb4ap-11f,  0x1.2420ap-11f,  0x1.976dap-12f,  0x1.10a8c4p-12f,
     0x1.5eed28p-13f,  0x1.b2fc5ep-14f, 0x1.03f2d4p-14f, 0x1.2bdda2p-15f,
     0x1.4e1e1p-16f,   0x1.67d0dcp-17f, 0x1.76b6eap-18f, 0x1.79883ap-19f,
     0x1.702252p-20f,  0x1.5b890ap-21f, 0x1.3dba72p-22f, 0.0f},
    {0x1.c3c2dcp-15f,  0x1.cbf868p-13f,  0x1.aeb5a2p-12f,  0x1.21301ep-11f,
     0x1.4964d2p-11f,  0x1.4e9d06p-11f,  0x1.34e404p-11f,  0x1.04492p-11f,
     0x1.8daf32p-12f,  0x1.0d06cp-12f,   0x1.2df15p-13f,   0x1.b3476ap-15f,
     -0x1.f622f8p-17f, -0x1.dbf86ap-15f, -0x1.430a94p-14f, -0x1.5463a2p-14f,
     -0x1.39c9a6p-14f, -0x1.082366p-14f, -0x1.9e6a3ap-15f, -0x1.327052p-15f,
     -0x1.ae3886p-16f, -0x1.200d2p-16f,  -0x1.71223cp-17f, -0x1.c5cc7ap-18f,
     -0x1.0c175ep-18f, -0x1.30e134p-19f, -0x1.4e1866p-20f, -0x1.611ce8p-21f,
     -0x1.683d86p-22f, -0x1.62f71ap-23f, -0x1.5202bep-24f, 0.0f},
};

#endif
