/**
 * As whom and in what surroundings a process runs: what the processes that it starts have as well.
 *
 * https://man7.org/linux/man-pages/man7/namespaces.7.html, https://man7.org/linux/man-pages/man7/cgroups.7.html
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { ownerOf, type ProcessOwner } from './process.ts';

/** In which the names of files, interfaces, users and processes mean something else. */
const NAMESPACES = ['mnt', 'net', 'user', 'pid'] as const;

export interface Surroundings extends ProcessOwner {
  /** Its control groups, as /proc/PID/cgroup tells them. */
  readonly cgroups: string;
  /** Such as `net:[4026531840]`. */
  readonly namespaces: readonly string[];
}

/** @throws GW_SYS_PROCESS_GONE; EACCES for a process that may not be looked at */
export function surroundingsOf(pid: number): Surroundings {
  const { uid, gid } = ownerOf(pid);
  return {
    uid,
    gid,
    cgroups: readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim(),
    namespaces: NAMESPACES.map((name) => readlinkSync(`/proc/${pid}/ns/${name}`)),
  };
}
