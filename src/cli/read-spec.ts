/**
 * Reads a VM spec file for `godwit vm create`.
 *
 * Owns: the meaning of relative paths (from the directory of the spec file). Must hold: what is wrong with the spec is
 * said before the host is asked.
 */
import { dirname, isAbsolute, resolve } from 'node:path';
import { parseInput } from '../api/input-error.ts';
import { readTextFile } from '../api/text-file.ts';
import { type VmSpecInput, VmSpecSchema } from '../api/vm-schema.ts';
import { parseYaml } from '../api/yaml-file.ts';
import { GodwitError } from '../base/errors.ts';

/** @param path - a YAML or JSON file, or `-` for stdin */
export function readSpec(path: string): VmSpecInput {
  const contents = readTextFile(path);
  const spec = withAbsolutePaths(parseDocument(contents, path), path === '-' ? process.cwd() : dirname(resolve(path)));
  parseInput(VmSpecSchema, spec);
  return spec as VmSpecInput;
}

/** `kernel: vmlinuz` beside the spec becomes the absolute path that the host needs. */
export function withAbsolutePaths(spec: unknown, base: string): unknown {
  if (!isObject(spec)) return spec;
  const absolute = (value: unknown): unknown =>
    typeof value === 'string' && value !== '' && !isAbsolute(value) ? resolve(base, value) : value;
  const result: Record<string, unknown> = { ...spec };
  const { boot, disks, firmware, qemu } = spec;
  if (isObject(boot)) {
    result['boot'] = { ...boot };
    for (const key of ['kernel', 'initrd']) {
      if (boot[key] !== undefined) (result['boot'] as Record<string, unknown>)[key] = absolute(boot[key]);
    }
  }
  if (firmware !== undefined) result['firmware'] = absolute(firmware);
  // A bare name is looked up in PATH by the host; only what looks like a path is one.
  if (typeof qemu === 'string' && qemu.includes('/')) result['qemu'] = absolute(qemu);
  if (Array.isArray(disks)) {
    result['disks'] = disks.map((disk: unknown) =>
      isObject(disk) ? { ...disk, path: absolute(disk['path']) } : absolute(disk),
    );
  }
  return result;
}

function parseDocument(contents: string, path: string): unknown {
  const fix = 'give a VM spec, YAML or JSON (docs/spec.md)';
  if (contents.trim() === '') throw new GodwitError('GW_INPUT_INVALID', { field: path, value: 'nothing', fix });
  return parseYaml(contents, path);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
