/* cmocka with the headers that it wants before it. */
#ifndef KT_TESTS_CMOCKA_H
#define KT_TESTS_CMOCKA_H

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
// clang-format on

#endif
