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

/* The same by 31 cubics in x - i step, i the integer nearest to x / step, and one of zeros from
 * 5.2 on; power by power: error 4.1e-7. */
static const float fby_gelu_fine_step = 0x1.5d2acep-3f;
static const float fby_gelu_fine[4][32] = {
    {0.0f,
     0x1.2de57ep-4f,
     0x1.fff57p-4f,
     0x1.3ef92cp-3f,
     0x1.59db52p-3f,
     0x1.57e4f2p-3f,
     0x1.40e1f4p-3f,
     0x1.1c5ff8p-3f,
     0x1.e2192p-4f,
     0x1.8893eep-4f,
     0x1.34001p-4f,
     0x1.d28efcp-5f,
     0x1.559ef4p-5f,
     0x1.e42436p-6f,
     0x1.4c3f44p-6f,
     0x1.b9e5f6p-7f,
     0x1.1ce5b4p-7f,
     0x1.64430cp-8f,
     0x1.b02b5ap-9f,
     0x1.fcab96p-10f,
     0x1.2282cap-10f,
     0x1.421292p-11f,
     0x1.5a9ap-12f,
     0x1.6a1adap-13f,
     0x1.6f4832p-14f,
     0x1.69b498p-15f,
     0x1.59e12p-16f,
     0x1.412a5ep-17f,
     0x1.219744p-18f,
     0x1.fb26b2p-20f,
     0x1.af4286p-21f,
     0.0f},
    {0x1.0000fcp-1f,   0x1.760b28p-2f,   0x1.e7d9d2p-3f,   0x1.00fb2p-3f,
     0x1.06413cp-5f,   -0x1.438afap-5f,  -0x1.6b39fp-4f,   -0x1.e029dep-4f,
     -0x1.06e202p-3f,  -0x1.025fa6p-3f,  -0x1.d6a5f8p-4f,  -0x1.9399dep-4f,
     -0x1.48d60cp-4f,  -0x1.fffc4ap-5f,  -0x1.7e411ap-5f,  -0x1.126d28p-5f,
     -0x1.7b99dp-6f,   -0x1.fa912cp-7f,  -0x1.466e94p-7f,  -0x1.96a614p-8f,
     -0x1.e9fabap-9f,  -0x1.1dace8p-9f,  -0x1.428534p-10f, -0x1.60a9cep-11f,
     -0x1.759bb4p-12f, -0x1.7f90a8p-13f, -0x1.7db3dap-14f, -0x1.704348p-15f,
     -0x1.588434p-16f, -0x1.38915cp-17f, -0x1.130d92p-18f, 0.0f},
    {-0x1.9910f2p-2f, -0x1.8c4efap-2f, -0x1.6aaa02p-2f, -0x1.374d68p-2f,
     -0x1.f0c0dcp-3f, -0x1.69cb5cp-3f, -0x1.ce5b6ap-4f, -0x1.cf6aep-5f,
     -0x1.70d89ap-7f, 0x1.60b8f4p-6f,  0x1.58900ap-5f,  0x1.a9b948p-5f,
     0x1.b78d3p-5f,   0x1.979b46p-5f,  0x1.5dc192p-5f,  0x1.19faa4p-5f,
     0x1.af05bap-6f,  0x1.3a0fep-6f,   0x1.b6053p-7f,   0x1.2521cep-7f,
     0x1.7946a4p-8f,  0x1.d3a5a4p-9f,  0x1.17778cp-9f,  0x1.4261a6p-10f,
     0x1.673476p-11f, 0x1.82d53cp-12f, 0x1.92d9acp-13f, 0x1.95e126p-14f,
     0x1.8bc69ap-15f, 0x1.75a15ep-16f, 0x1.5595d4p-17f, 0.0f},
    {0x1.6416cp-7f,    0x1.6a8f3ep-5f,   0x1.537ed6p-4f,   0x1.c7e3bep-4f,
     0x1.03a2d4p-3f,   0x1.07c00ep-3f,   0x1.e6f33p-4f,    0x1.9a53a2p-4f,
     0x1.3976dap-4f,   0x1.a81b22p-5f,   0x1.dbff2ep-6f,   0x1.5718eap-7f,
     -0x1.8bcbbp-9f,   -0x1.772bcep-7f,  -0x1.fd41f6p-7f,  -0x1.0c4d88p-6f,
     -0x1.eeab7ap-7f,  -0x1.a0667p-7f,   -0x1.46a6dap-7f,  -0x1.e315acp-8f,
     -0x1.531c3ep-8f,  -0x1.c6190ap-9f,  -0x1.22f5c4p-9f,  -0x1.65b1eep-10f,
     -0x1.a6a1c6p-11f, -0x1.e0a082p-12f, -0x1.07578ap-12f, -0x1.165504p-13f,
     -0x1.1bf33ap-14f, -0x1.17caccp-15f, -0x1.0a6d9ep-16f, 0.0f},
};

/* By 15 quadratics, zeros from 4.1 on: error 9.1e-5. For what becomes codes of 8 bits. */
static const float fby_gelu_coarse_step = 0x1.218b7ap-2f;
static const float fby_gelu_coarse[3][16] = {
    {0.0f, 0x1.c223dp-4f, 0x1.4b12aap-3f, 0x1.583a3cp-3f, 0x1.2adcf8p-3f, 0x1.c7d2f8p-4f,
     0x1.37f62ep-4f, 0x1.8362b8p-5f, 0x1.b710fcp-6f, 0x1.c7d9f8p-7f, 0x1.b2875ep-8f, 0x1.7cdc96p-9f,
     0x1.334376p-10f, 0x1.c8a754p-12f, 0x1.38b7ep-13f, 0.0f},
    {0x1.ffde5ep-2f, 0x1.201b18p-2f, 0x1.8690dcp-4f, -0x1.27940ep-5f, -0x1.b7d318p-4f,
     -0x1.05dee2p-3f, -0x1.d7ac4cp-4f, -0x1.662b1ep-4f, -0x1.dce5fcp-5f, -0x1.1b938p-5f,
     -0x1.30463cp-6f, -0x1.286292p-7f, -0x1.072316p-8f, -0x1.ab0996p-10f, -0x1.3d52a2p-11f, 0.0f},
    {-0x1.96552ep-2f, -0x1.776a04p-2f, -0x1.23cda6p-2f, -0x1.6d51dcp-3f, -0x1.399876p-4f,
     -0x1.06596ap-10f, 0x1.4dff16p-5f, 0x1.b631dcp-5f, 0x1.88d8e2p-5f, 0x1.1f1534p-5f,
     0x1.69334cp-6f, 0x1.90fb94p-7f, 0x1.8e08cap-8f, 0x1.642658p-9f, 0x1.20c56cp-10f, 0.0f},
};

#endif
