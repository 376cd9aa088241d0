/* A relocatable ELF object that holds a program's constants, written by ourselves.
 *
 * Going through an assembler or an LLVM constant takes seconds and several times the memory for large
 * weights; this streams them once. The file: header, the bytes (.rodata, 64-byte aligned), symbol table with
 * one global hidden object, string tables, section headers. ELF64 little-endian only, which all our targets
 * are. */
#include "codegen/codegen.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ALIGNMENT 64

enum {
    SECTION_NULL,
    SECTION_DATA,
    SECTION_SYMBOLS,
    SECTION_STRINGS,
    SECTION_STACK,
    SECTION_NAMES,
    SECTION_COUNT
};
static const char section_names[] = "\0.rodata.keratin\0.symtab\0.strtab\0.note.GNU-stack\0.shstrtab";
enum { NAME_DATA = 1, NAME_SYMBOLS = 17, NAME_STRINGS = 25, NAME_STACK = 33, NAME_NAMES = 49 };

const char *kt_constants_symbol(kt_arena *arena, const char *program_name) {
    return kt_arena_format(arena, "kt_constants_%s", program_name);
}

static Elf64_Half machine(const kt_target *target) {
    return target->arch == KT_ARCH_AARCH64 ? EM_AARCH64 : EM_X86_64;
}

static void write_zeros(FILE *file, uint64_t count) {
    static const char zeros[ALIGNMENT];
    for (; count; count -= count < ALIGNMENT ? count : ALIGNMENT)
        fwrite(zeros, 1, count < ALIGNMENT ? count : ALIGNMENT, file);
}

static void write_constants(FILE *file, const kt_graph *graph, const uint64_t *offsets, uint64_t bytes) {
    uint64_t at = 0;
    for (uint32_t i = 0; i < graph->constants.count; i++) {
        const kt_constant *constant = &graph->constants.at[i];
        uint64_t size = (uint64_t)kt_type_static_bytes(graph->dims, &constant->type);
        if (offsets[i] < at) continue; /* it is there already */
        write_zeros(file, offsets[i] - at);
        fwrite(constant->data, 1, size, file);
        at = offsets[i] + size;
    }
    write_zeros(file, bytes - at);
}

kt_status kt_elf_write_constants(const char *path, const char *symbol, const kt_graph *graph,
                                 const uint64_t *offsets, uint64_t bytes, const kt_target *target,
                                 kt_diag *diag) {
    uint64_t data_at = ALIGNMENT, symbols_at = data_at + (bytes + 7) / 8 * 8,
             symbols_bytes = 2 * sizeof(Elf64_Sym);
    uint64_t strings_at = symbols_at + symbols_bytes, strings_bytes = strlen(symbol) + 2;
    uint64_t names_at = strings_at + strings_bytes;
    uint64_t headers_at = (names_at + sizeof section_names + 7) / 8 * 8;
    Elf64_Ehdr header = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT, ELFOSABI_SYSV},
        .e_type = ET_REL,
        .e_machine = machine(target),
        .e_version = EV_CURRENT,
        .e_shoff = headers_at,
        .e_ehsize = sizeof(Elf64_Ehdr),
        .e_shentsize = sizeof(Elf64_Shdr),
        .e_shnum = SECTION_COUNT,
        .e_shstrndx = SECTION_NAMES};
    Elf64_Sym symbols[2] = {[1] = {.st_name = 1,
                                   .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT),
                                   .st_other = STV_HIDDEN,
                                   .st_shndx = SECTION_DATA,
                                   .st_size = bytes}};
    Elf64_Shdr sections[SECTION_COUNT] = {[SECTION_DATA] = {.sh_name = NAME_DATA,
                                                            .sh_type = SHT_PROGBITS,
                                                            .sh_flags = SHF_ALLOC,
                                                            .sh_offset = data_at,
                                                            .sh_size = bytes,
                                                            .sh_addralign = ALIGNMENT},
                                          [SECTION_SYMBOLS] = {.sh_name = NAME_SYMBOLS,
                                                               .sh_type = SHT_SYMTAB,
                                                               .sh_offset = symbols_at,
                                                               .sh_size = symbols_bytes,
                                                               .sh_link = SECTION_STRINGS,
                                                               .sh_info = 1,
                                                               .sh_addralign = 8,
                                                               .sh_entsize = sizeof(Elf64_Sym)},
                                          [SECTION_STRINGS] = {.sh_name = NAME_STRINGS,
                                                               .sh_type = SHT_STRTAB,
                                                               .sh_offset = strings_at,
                                                               .sh_size = strings_bytes,
                                                               .sh_addralign = 1},
                                          [SECTION_STACK] = {.sh_name = NAME_STACK,
                                                             .sh_type = SHT_PROGBITS,
                                                             .sh_offset = names_at,
                                                             .sh_addralign = 1},
                                          [SECTION_NAMES] = {.sh_name = NAME_NAMES,
                                                             .sh_type = SHT_STRTAB,
                                                             .sh_offset = names_at,
                                                             .sh_size = sizeof section_names,
                                                             .sh_addralign = 1}};
    FILE *file = fopen(path, "wb");
    if (!file) return kt_diag_add(diag, KT_IO, NULL, "Cannot write %s: %s.", path, strerror(errno));
    fwrite(&header, sizeof header, 1, file);
    write_constants(file, graph, offsets, bytes);
    write_zeros(file, symbols_at - data_at - bytes);
    fwrite(symbols, sizeof symbols, 1, file);
    fputc(0, file);
    fwrite(symbol, 1, strings_bytes - 1, file);
    fwrite(section_names, sizeof section_names, 1, file);
    write_zeros(file, headers_at - names_at - sizeof section_names);
    fwrite(sections, sizeof sections, 1, file);
    bool failed = ferror(file) != 0;
    if (fclose(file) || failed)
        return kt_diag_add(diag, KT_IO, NULL, "Cannot write %s: %s.", path, strerror(errno));
    return KT_OK;
}
