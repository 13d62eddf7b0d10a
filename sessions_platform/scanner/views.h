/* Bytes and texts as Arrow's views of buffers (Columnar format, "Variable-size Binary View Layout"). */
#ifndef VIEWS_H
#define VIEWS_H

#include <stdint.h>
#include <string.h>

enum { INLINE = 12 };

/* The bytes of a short one are in `prefix` and what follows it. */
typedef struct {
  uint32_t length;
  uint8_t prefix[4];
  uint32_t buffer, offset;
} view;

/* Rows, and the buffers that their views lead to. */
typedef struct {
  const view *rows;
  int64_t height;
  const uint8_t *const *buffers;
  const int64_t *sizes;
  int64_t count;
} block;

/* Where a text starts; NULL if its view leads out of the buffers. */
static const uint8_t *start_of(const view *of, const block *in) {
  if (of->length <= INLINE) return (const uint8_t *)of + sizeof of->length;
  if (of->buffer >= in->count || (int64_t)of->offset + of->length > in->sizes[of->buffer]) return 0;
  return in->buffers[of->buffer] + of->offset;
}

static view view_of(const uint8_t *start, uint32_t length, uint32_t buffer, uint32_t offset) {
  view made = {length, {0}, 0, 0};
  if (length <= INLINE) {
    memcpy((uint8_t *)&made + sizeof made.length, start, length);
  } else {
    memcpy(made.prefix, start, sizeof made.prefix);
    made.buffer = buffer;
    made.offset = offset;
  }
  return made;
}

#endif
