// cmocka_cpp.h: CMocka for a C++ test program.
//
// Include it after every other header: CMocka's macros have everyday names. A failing assertion longjmps past
// destructors, so a test computes first and asserts afterwards.
#pragma once

// CMocka wants these before its own header, outside extern "C".
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

extern "C" {
#include <cmocka.h>
}
