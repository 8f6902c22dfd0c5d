/**
 * RAM at the destination: a shared file of its own for every backend, with the same id and size; and the file of this host
 * for every region that the VM shares.
 *
 * Must hold: nothing is preallocated or locked (a page that is present can raise no fault, and post-copy waits for
 * faults); a path of the source is never kept; a memfd becomes a named file, which every QEMU version leaves out of the device state.
 */
import { type Argument, readOptions } from './arguments.ts';
import type { Derivation } from './derivation.ts';
import { groupMember } from './shared-memory.ts';

export const SHARED_RAM_FIX =
  'start the VM with -object memory-backend-file,id=ram0,size=…,mem-path=/dev/shm/NAME,share=on and ' +
  '-machine …,memory-backend=ram0 (libvirt: <memoryBacking><source type="file"/><access mode="shared"/></memoryBacking> ' +
  'with memory_backing_dir = "/dev/shm" in qemu.conf)';

/** `-object`: memory backends get files of their own, all else stays. */
export function deriveObject(argument: Argument, derivation: Derivation): Argument {
  const options = readOptions(argument);
  const type = options.get('qom-type') ?? '';
  if (!type.startsWith('memory-backend-')) return argument;
  const id = options.get('id') ?? '';
  const isShared = derivation.sharedIds.has(id);
  const shareable = type === 'memory-backend-file' || type === 'memory-backend-memfd';
  // share is on by default for memfd (backends/hostmem-memfd.c) and off for files.
  if (!shareable || !options.isOn('share', type === 'memory-backend-memfd')) {
    if (isShared) {
      derivation.block('ivshmem-private', id, 'this memory is private to QEMU, so no other VM has it', SHARED_RAM_FIX);
    } else {
      derivation.block('private-ram', id, 'this RAM is private to QEMU', SHARED_RAM_FIX);
    }
    return argument;
  }
  if (options.isOn('hugetlb') || /hugepages/.test(options.get('mem-path') ?? '')) {
    derivation.block('huge-pages', id, 'RAM on hugetlbfs is not supported yet', SHARED_RAM_FIX);
    return argument;
  }
  const path = isShared ? derivation.sharedFile(id) : derivation.ramFile(id);
  if (path === undefined) {
    // Without the group's paths nobody knows the region's name; an id of godwit's own has it.
    derivation.blockers.push(groupMember(id.replace(/^shared-/, '')));
    return argument;
  }
  options.set('qom-type', 'memory-backend-file');
  options.delete('hugetlb', 'hugetlbsize', 'seal', 'prealloc', 'prealloc-threads', 'prealloc-context', 'discard-data');
  options.set('share', true);
  options.set('mem-path', path);
  return { option: 'object', value: options.toString() };
}

/** `-overcommit`: locked memory is present memory. Undefined when nothing is left of it. */
export function deriveOvercommit(argument: Argument, derivation: Derivation): Argument | undefined {
  const options = readOptions(argument);
  if (!options.isOn('mem-lock') && options.get('mem-lock') !== 'on-fault') return argument;
  derivation.note(`RAM is not locked ${derivation.here} (-overcommit mem-lock)`);
  options.delete('mem-lock');
  return options.keys().length === 0 ? undefined : { option: 'overcommit', value: options.toString() };
}
