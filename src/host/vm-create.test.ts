import { expect, test } from 'vitest';
import { VmSpecSchema } from '../api/vm-schema.ts';
import { MacClaims } from './mac-claims.ts';
import { createVm } from './vm-create.ts';

/** A VM of this name on a host whose sockets for a VM with a name of one letter have paths of this many bytes. */
function create(name: string, bytes: number): Promise<unknown> {
  const rest = '/vms/x/01234567/console.sock'.length;
  const stateDirectory = `/${'d'.repeat(bytes - rest - 1)}`;
  // It ends at the kernel, which is not there; where nothing is wrong before, the refusal is about that.
  const spec = VmSpecSchema.parse({ name, memory: '64MiB', boot: { kernel: '/nonexistent/kernel' } });
  const macs = new MacClaims('a', () => undefined);
  return createVm(spec, { name: 'a', stateDirectory, promisedBytes: 0, regions: {} as never, macs });
}

test('a name that makes a socket path too long is refused with the longest one that does not', async () => {
  await expect(create('four', 105)).rejects.toMatchObject({
    code: 'GW_INPUT_INVALID',
    details: { field: 'name', value: 'four', fix: expect.stringMatching(/^give at most 3 characters, or .* --state/) },
  });
  await expect(create('now', 105)).rejects.toMatchObject({ details: { field: 'boot.kernel' } });
});

test('where no name fits, only a shorter state directory helps', async () => {
  await expect(create('x', 108)).rejects.toMatchObject({
    details: { field: 'name', fix: expect.stringMatching(/^start the host daemon with a shorter --state/) },
  });
});
