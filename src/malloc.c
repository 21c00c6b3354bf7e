/* How the binary's memory is kept; it runs before main, and so before any thread. glibc gives
 * threads heaps of their own, 8 for each processor, and each keeps what it once needed. A daemon
 * has threads for the disk that come and go: one heap for all takes half the memory and does not
 * grow. Blocks from 128 KiB on go back to the system when they are free; without a fixed size
 * glibc would raise it, and keep them. docs/soak.md says what came of it. */
#include <malloc.h>

__attribute__((constructor)) static void keep_one_heap(void) {
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, 128 << 10);
    mallopt(M_TRIM_THRESHOLD, 128 << 10);
}
