/* Messages of protobuf, put together by hand: a field is a whole number (varint), a number of 8 bytes, or bytes with their
 * count in front, which a message within a message is, too. */
#ifndef KT_RUNTIME_TRAIN_PROTOBUF_H
#define KT_RUNTIME_TRAIN_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Begins as zeros. */
typedef struct kt_message {
    uint8_t *at;
    size_t count, room;
    bool lacks_memory; /* some of it is missing: the caller has to look, once, at the end */
} kt_message;
void kt_message_deinit(kt_message *message);

void kt_message_number(kt_message *message, unsigned field, uint64_t value);
void kt_message_double(kt_message *message, unsigned field, double value);
void kt_message_field(kt_message *message, unsigned field, const void *bytes, size_t count);
void kt_message_text(kt_message *message, unsigned field, const char *text);
/* Bytes as they are. */
void kt_message_bytes(kt_message *message, const void *bytes, size_t count);
/* What is written between these two is a field; begin: what open returned. */
size_t kt_message_open(kt_message *message, unsigned field);
void kt_message_close(kt_message *message, size_t begin);

#endif
