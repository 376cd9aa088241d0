/* How large buffers that grow begin: as large as is usual, or, in the preset `hostile`, as small as works, so that
 * its tests go through every way in which they grow. For compiler and runtime alike. */
#ifndef KT_RUNTIME_ROOM_H
#define KT_RUNTIME_ROOM_H

#ifdef KT_HOSTILE
#define KT_ROOM(usual, smallest) (smallest)
#else
#define KT_ROOM(usual, smallest) (usual)
#endif

#endif
