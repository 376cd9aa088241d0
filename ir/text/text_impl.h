/* What the printer and the parser of the text form share, and the parser's lexical layer (lex.c). */
#ifndef KT_IR_TEXT_TEXT_IMPL_H
#define KT_IR_TEXT_TEXT_IMPL_H

#include "ir/ir.h"

enum {
    KT_TEXT_LISTED = 16,          /* up to this many elements are written as numbers, more as base64 … */
    KT_TEXT_ALL_BYTES = 64 << 10, /* … or, if they are all alike and no more than this, as one number: a short
                                     text cannot ask for much memory */
};

/* Characters of a name or word that needs no quotes. */
bool kt_text_is_word(char c);

/* The words for roles and kinds of functions. */
extern const char *const kt_role_words[KT_ROLE_CONSTANT + 1];
extern const char *const kt_func_words[KT_FUNC_STEP + 1];

/* ---- reading: lex.c ------------------------------------------------------------------------------------- *
 * Every function first skips white space and comments, and leaves the position behind what it took. Those
 * that return kt_status record what they expected; those that return bool leave the position where it was if
 * there is no such thing. */
typedef struct kt_lexer {
    kt_arena *arena;
    kt_dim_pool *dims;
    kt_diag *diag;
    const char *text, *at, *end; /* *end is NUL */
} kt_lexer;

/* A piece of the text, or NULL, 0. */
typedef struct kt_span {
    const char *at;
    uint32_t length;
} kt_span;

/* Records a problem at the current line. */
kt_status kt_lex_fail(const kt_lexer *lexer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "line 12", of the current position; in the lexer's arena. */
const char *kt_lex_line(const kt_lexer *lexer);

bool kt_lex_at_end(kt_lexer *lexer);
bool kt_lex_accept(kt_lexer *lexer, char c);
kt_status kt_lex_expect(kt_lexer *lexer, char c) KT_MUST_USE;
/* The word at the position; empty if there is none. */
kt_span kt_lex_peek_word(kt_lexer *lexer);
kt_span kt_lex_word(kt_lexer *lexer);
bool kt_lex_accept_word(kt_lexer *lexer, const char *word);
bool kt_span_is(kt_span span, const char *word);
const char *kt_span_string(const kt_lexer *lexer, kt_span span);

kt_status kt_lex_string(kt_lexer *lexer, const char **out_string) KT_MUST_USE; /* "…" */
bool kt_lex_at_string(kt_lexer *lexer);
kt_status kt_lex_name(kt_lexer *lexer, const char **out_name) KT_MUST_USE; /* @word or @"…" */
kt_status kt_lex_value(kt_lexer *lexer, kt_span *out_name) KT_MUST_USE;    /* %word */
kt_status kt_lex_integer(kt_lexer *lexer, int64_t *out_number) KT_MUST_USE;
kt_status kt_lex_index(kt_lexer *lexer, uint32_t *out_number) KT_MUST_USE;
kt_status kt_lex_dim(kt_lexer *lexer, kt_dim *out_dim) KT_MUST_USE;
kt_status kt_lex_dims(kt_lexer *lexer, kt_dims *out_dims) KT_MUST_USE; /* [dim, …] */
kt_status kt_lex_ints(kt_lexer *lexer, kt_ints *out_ints) KT_MUST_USE; /* [1, …] */
kt_status kt_lex_dtype(kt_lexer *lexer, kt_dtype *out_dtype) KT_MUST_USE;
kt_status kt_lex_type(kt_lexer *lexer, kt_type *out_type) KT_MUST_USE;
/* The elements of a tensor of a static type. */
kt_status kt_lex_elements(kt_lexer *lexer, const kt_type *type, kt_literal *out_literal) KT_MUST_USE;
/* Passes over elements whose type is not known yet. */
kt_status kt_lex_skip_elements(kt_lexer *lexer) KT_MUST_USE;

#endif
