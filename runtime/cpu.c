/* What this CPU can do, and what its operating system lets programs use of it: by CPUID and XGETBV on x86, by
 * the capabilities that Linux hands every process on ARM, where user code may not ask the CPU itself. */
#include "runtime/runtime.h"

typedef struct cpu_feature {
    const char *name;
    uint32_t feature;
    uint8_t leaf, bit, state;
} cpu_feature;

/* Leaves of CPUID, with a register. */
enum { LEAF_NONE, LEAF_1_ECX, LEAF_7_EBX, LEAF_7_ECX, LEAF_7_1_EAX, LEAF_EXTENDED_ECX, LEAF_COUNT };
enum { YMM_STATE = 0x06, ZMM_STATE = 0xe6 }; /* of XCR0: which registers the operating system saves */

static const cpu_feature features[] = {
    {"SSE4.1", KT_CPU_SSE41, LEAF_1_ECX, 19, 0},
    {"SSE4.2", KT_CPU_SSE42, LEAF_1_ECX, 20, 0},
    {"POPCNT", KT_CPU_POPCNT, LEAF_1_ECX, 23, 0},
    {"MOVBE", KT_CPU_MOVBE, LEAF_1_ECX, 22, 0},
    {"LZCNT", KT_CPU_LZCNT, LEAF_EXTENDED_ECX, 5, 0},
    {"BMI", KT_CPU_BMI, LEAF_7_EBX, 3, 0},
    {"BMI2", KT_CPU_BMI2, LEAF_7_EBX, 8, 0},
    {"AVX", KT_CPU_AVX, LEAF_1_ECX, 28, YMM_STATE},
    {"FMA", KT_CPU_FMA, LEAF_1_ECX, 12, YMM_STATE},
    {"F16C", KT_CPU_F16C, LEAF_1_ECX, 29, YMM_STATE},
    {"AVX2", KT_CPU_AVX2, LEAF_7_EBX, 5, YMM_STATE},
    {"AVX-512F", KT_CPU_AVX512F, LEAF_7_EBX, 16, ZMM_STATE},
    {"AVX-512DQ", KT_CPU_AVX512DQ, LEAF_7_EBX, 17, ZMM_STATE},
    {"AVX-512CD", KT_CPU_AVX512CD, LEAF_7_EBX, 28, ZMM_STATE},
    {"AVX-512BW", KT_CPU_AVX512BW, LEAF_7_EBX, 30, ZMM_STATE},
    {"AVX-512VL", KT_CPU_AVX512VL, LEAF_7_EBX, 31, ZMM_STATE},
    {"AVX-512VNNI", KT_CPU_AVX512VNNI, LEAF_7_ECX, 11, ZMM_STATE},
    {"AVX-512BF16", KT_CPU_AVX512BF16, LEAF_7_1_EAX, 5, ZMM_STATE},
    {"NEON", KT_CPU_NEON, LEAF_NONE, 0, 0},
};
enum { FEATURE_COUNT = sizeof features / sizeof features[0] };

const char *kt_cpu_feature_name(uint64_t feature) {
    for (int i = 0; i < FEATURE_COUNT; i++) {
        if (features[i].feature & feature) return features[i].name;
    }
    return "an unknown feature";
}

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

uint64_t kt_cpu_features(void) {
    uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0, state = 0, leaves[LEAF_COUNT] = {0};
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return 0;
    leaves[LEAF_1_ECX] = ecx;
    if (ecx & bit_OSXSAVE) __asm__ volatile("xgetbv" : "=a"(state), "=d"(edx) : "c"(0));
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
        leaves[LEAF_7_EBX] = ebx;
        leaves[LEAF_7_ECX] = ecx;
    }
    if (__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx)) leaves[LEAF_7_1_EAX] = eax;
    if (__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx)) leaves[LEAF_EXTENDED_ECX] = ecx;
    uint64_t found = 0;
    for (int i = 0; i < FEATURE_COUNT; i++) {
        uint32_t has = leaves[features[i].leaf] >> features[i].bit & 1;
        if (has && (state & features[i].state) == features[i].state) found |= features[i].feature;
    }
    return found;
}
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>

uint64_t kt_cpu_features(void) { return getauxval(AT_HWCAP) & HWCAP_ASIMD ? KT_CPU_NEON : 0; }
#else
uint64_t kt_cpu_features(void) { return 0; }
#endif
