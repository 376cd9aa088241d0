/* Lets other systems run as on a CPU with AVX2 and no AVX-512: a module for LD_AUDIT, which bench/narrow.py
 * makes use of.
 *
 * Before a library's constructors run, its instructions `cpuid` (0f a2) become `ud2` (0f 0b), and what
 * handles SIGILL answers for the CPU, with AVX-512, AMX and what came after them left out. The file
 * NARROW_CPUID/NAME of a library has the addresses of the instructions within it, as 8 bytes each; libraries
 * without a file stay as they are. */
#include <cpuid.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { PAGE = 4096 };

/* Of leaf 7: AVX-512F, DQ, IFMA, PF, ER, CD, BW, VL; VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ; 4VNNIW, 4FMAPS,
 * VP2INTERSECT, AMX-BF16, AVX512-FP16, AMX-TILE and AMX-INT8. */
enum { WIDE_EBX = (int)0xdc230000, WIDE_ECX = 0x5842, WIDE_EDX = 0x3c0010c };

static void answer(int signal, siginfo_t *info, void *argument) {
    (void)signal, (void)info;
    greg_t *registers = ((ucontext_t *)argument)->uc_mcontext.gregs;
    unsigned leaf = (unsigned)registers[REG_RAX], part = (unsigned)registers[REG_RCX], a, b, c, d;
    __cpuid_count(leaf, part, a, b, c, d);
    if (leaf == 7 && part == 0) b &= ~(unsigned)WIDE_EBX, c &= ~(unsigned)WIDE_ECX, d &= ~(unsigned)WIDE_EDX;
    if (leaf == 7 && part > 0) a = b = c = d = 0;
    registers[REG_RAX] = a, registers[REG_RBX] = b, registers[REG_RCX] = c, registers[REG_RDX] = d;
    registers[REG_RIP] += 2;
}

unsigned la_version(unsigned version) {
    struct sigaction action = {.sa_sigaction = answer, .sa_flags = SA_SIGINFO | SA_NODEFER};
    return sigaction(SIGILL, &action, NULL) == 0 ? version : 0;
}

unsigned la_objopen(struct link_map *map, Lmid_t namespace, uintptr_t *cookie) {
    (void)namespace, (void)cookie;
    const char *slash = strrchr(map->l_name, '/');
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", getenv("NARROW_CPUID"), slash ? slash + 1 : map->l_name);
    FILE *file = slash ? fopen(path, "rb") : NULL;
    if (!file) return 0;
    for (uint64_t address; fread(&address, sizeof address, 1, file) == 1;) {
        unsigned char *code = (unsigned char *)(map->l_addr + address);
        void *page = (void *)((uintptr_t)(code + 1) & ~(uintptr_t)(PAGE - 1));
        if (code[0] != 0x0f || code[1] != 0xa2 || mprotect(page, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC))
            abort();
        code[1] = 0x0b;
        mprotect(page, PAGE, PROT_READ | PROT_EXEC);
    }
    fclose(file);
    return 0;
}
