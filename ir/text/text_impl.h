/* What the printer and the parser of the text form share. */
#ifndef KT_IR_TEXT_TEXT_IMPL_H
#define KT_IR_TEXT_TEXT_IMPL_H

#include "ir/ir.h"

/* Up to this many elements are written as numbers; more (that are not all alike) as base64. */
enum { KT_TEXT_LISTED = 16 };

/* Characters of a name or word that needs no quotes. */
bool kt_text_is_word(char c);

/* The words for roles and kinds of functions. */
extern const char *const kt_role_words[KT_ROLE_CONSTANT + 1];
extern const char *const kt_func_words[KT_FUNC_KERNEL + 1];

#endif
