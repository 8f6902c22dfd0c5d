/**
 * Tests that need more than a computer: skipped with the reason where it is missing, failing where it must be there.
 *
 * Must hold: with GODWIT_REQUIRE=kernel,vm (any of them) a missing capability fails the tests, so that nothing turns
 * green by skipping.
 */
import { closeSync, openSync } from 'node:fs';
import { describe, test } from 'vitest';
import { explain } from '../../src/base/errors.ts';
import { findBinary } from '../../src/qemu/process.ts';

/** `kernel`: system calls that need root; `vm`: a QEMU to run, as root; `kvm`: /dev/kvm. */
export type Capability = 'kernel' | 'vm' | 'kvm';

export type Describe = (name: string, body: () => void) => void;

/** The QEMU that tests run, unless they name another. */
export const TEST_QEMU: string = process.env['GODWIT_TEST_QEMU'] ?? 'qemu-system-x86_64';

/**
 * A `describe` for tests that need all of these: `const describe = requireCapability('vm', 'kvm')`.
 */
export function requireCapability(...needed: readonly Capability[]): Describe {
  const missing = needed
    .map((capability) => ({ capability, reason: missingReason(capability) }))
    .find(({ reason }) => reason !== undefined);
  if (missing === undefined) return (name, body) => void describe(name, body);
  const { capability, reason } = missing;
  if (isRequired(capability)) {
    return (name) =>
      describe(name, () => {
        test(`has ${capability}`, () => {
          throw new Error(`GODWIT_REQUIRE names ${capability}, but this machine lacks it: ${reason}`);
        });
      });
  }
  return (name, body) => void describe.skip(`${name} [needs ${capability}: ${reason}]`, body);
}

/** Why this machine cannot; undefined when it can. */
export function missingReason(capability: Capability): string | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'Linux on x86-64 is needed';
  if (process.geteuid?.() !== 0) return 'root is needed (ptrace, userfaultfd, control groups)';
  if (capability === 'kernel') return undefined;
  return reasonOf(() => (capability === 'vm' ? findBinary(TEST_QEMU) : closeSync(openSync('/dev/kvm', 'r+'))));
}

function isRequired(capability: Capability): boolean {
  return (process.env['GODWIT_REQUIRE'] ?? '').split(',').includes(capability);
}

function reasonOf(attempt: () => unknown): string | undefined {
  try {
    attempt();
    return undefined;
  } catch (error) {
    return explain(error);
  }
}
