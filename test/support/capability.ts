/**
 * Tests that need more than a computer: skipped with the reason where it is missing, failing where it must be there.
 *
 * Must hold: with GODWIT_REQUIRE=kernel,vm,kvm,cgroup1 (any of them) a missing capability fails the tests, so that
 * nothing turns green by skipping. `npm test` requires the first two, which every machine can have, and all in CI.
 */
import { execFileSync } from 'node:child_process';
import { accessSync, closeSync, existsSync, openSync } from 'node:fs';
import { describe, test } from 'vitest';
import { explain } from '../../src/base/errors.ts';
import { available as hasXxhash } from '../../src/linux/xxhash.ts';
import { findBinary } from '../../src/qemu/process.ts';
import { NATS_SERVER } from './nats-server.ts';

/**
 * `kernel`: system calls that need root; `cc`: a C compiler; `cgroupV1`: the cpu controller of version 1; `xxhash`: the
 * library; `vm`: a QEMU to run, as root; `kvm`: /dev/kvm; `nats`: a nats-server to run; `browser`: Chromium, and the
 * dashboard built; `nbdClients`: libnbd's programs, those of QEMU for images, and fio.
 */
export type Capability = 'kernel' | 'cc' | 'cgroupV1' | 'xxhash' | 'vm' | 'kvm' | 'nats' | 'browser' | 'nbdClients';

export type Describe = (name: string, body: () => void) => void;

interface Need {
  /** The word of GODWIT_REQUIRE that makes it a must. */
  readonly requiredBy: 'kernel' | 'vm' | 'kvm' | 'cgroup1';
  /** Throws where the machine lacks it. */
  readonly attempt: () => unknown;
}

/** The QEMU that tests run, unless they name another. */
export const TEST_QEMU: string = process.env['GODWIT_TEST_QEMU'] ?? 'qemu-system-x86_64';

/** Of Debian; Ubuntu and others have further names. */
const CHROMIUMS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** Packages libnbd-bin, qemu-utils and fio of Debian; scripts/setup installs them. */
const NBD_CLIENTS = ['nbdinfo', 'nbdcopy', 'qemu-img', 'qemu-io', 'fio'];

const NEEDS: Readonly<Record<Capability, Need>> = {
  kernel: { requiredBy: 'kernel', attempt: needRoot },
  cc: { requiredBy: 'kernel', attempt: () => execFileSync('cc', ['--version'], { stdio: 'ignore' }) },
  cgroupV1: { requiredBy: 'cgroup1', attempt: () => accessSync('/sys/fs/cgroup/cpu/cpu.cfs_quota_us') },
  xxhash: { requiredBy: 'kernel', attempt: () => insist(hasXxhash(), 'libxxhash.so.0 is not installed') },
  vm: {
    requiredBy: 'vm',
    attempt() {
      needRoot();
      findBinary(TEST_QEMU);
    },
  },
  browser: {
    requiredBy: 'vm',
    attempt() {
      findChromium();
      accessSync(new URL('../../web/dist/index.html', import.meta.url));
    },
  },
  nats: { requiredBy: 'kernel', attempt: () => findBinary(NATS_SERVER) },
  nbdClients: { requiredBy: 'kernel', attempt: () => NBD_CLIENTS.forEach(findBinary) },
  kvm: { requiredBy: 'kvm', attempt: () => closeSync(openSync('/dev/kvm', 'r+')) },
};

/**
 * A `describe` for tests that need all of these: `const describe = requireCapability('vm', 'kvm')`.
 */
export function requireCapability(...needed: readonly Capability[]): Describe {
  const missing = needed
    .map((capability) => ({ capability, reason: missingReason(capability) }))
    .find(({ reason }) => reason !== undefined);
  if (missing === undefined) return (name, body) => void describe(name, body);
  const { capability, reason } = missing;
  const { requiredBy } = NEEDS[capability];
  if ((process.env['GODWIT_REQUIRE'] ?? '').split(',').includes(requiredBy)) {
    return (name) =>
      describe(name, () => {
        test(`has ${capability}`, () => {
          throw new Error(`GODWIT_REQUIRE names ${requiredBy}, but this machine lacks ${capability}: ${reason}`);
        });
      });
  }
  return (name, body) => void describe.skip(`${name} [needs ${capability}: ${reason}]`, body);
}

/** Throws where there is none. */
export function findChromium(): string {
  const found = CHROMIUMS.find((path) => existsSync(path));
  if (found === undefined) throw new Error('chromium is not installed (npm run setup)');
  return found;
}

/** Why this machine cannot; undefined when it can. */
function missingReason(capability: Capability): string | undefined {
  try {
    insist(process.platform === 'linux' && process.arch === 'x64', 'Linux on x86-64 is needed');
    NEEDS[capability].attempt();
    return undefined;
  } catch (error) {
    return explain(error);
  }
}

function needRoot(): void {
  insist(process.geteuid?.() === 0, 'root is needed (ptrace, userfaultfd, control groups)');
}

function insist(condition: boolean, reason: string): void {
  if (!condition) throw new Error(reason);
}
