/* SPDX-License-Identifier: Apache-2.0 */
/* What libjansson.a has for stdin within libforebay.so: see the root's meson.build. */
#include <stdio.h>

extern FILE *__wrap_stdin;

FILE *__wrap_stdin = NULL;
