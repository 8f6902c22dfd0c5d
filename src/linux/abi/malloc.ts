/**
 * Numbers of mallopt(3), glibc.
 *
 * Owns: data only.
 */

export const M_MMAP_THRESHOLD = -3;
