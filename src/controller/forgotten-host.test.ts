import { expect, test, vi } from 'vitest';
import type { EvacuationView } from '../api/evacuation-schema.ts';
import { forgetHost } from './forgotten-host.ts';
import type { RegisteredHosts } from './registered-hosts.ts';

const evacuation = { id: 'e1', from: 'a', to: null, vms: [{ vm: 'x', to: 'b' }] } as unknown as EvacuationView;
const open = { open: async () => [evacuation] };

test.each(['a', 'b'])('host %s, which an evacuation leaves or goes to, is not forgotten', async (name) => {
  const forget = vi.fn();
  const registered = { forget } as unknown as RegisteredHosts;
  await expect(forgetHost(name, registered, open)).rejects.toThrow(/evacuation e1 goes on with it/);
  expect(forget).not.toHaveBeenCalled();
  expect(await forgetHost('c', registered, open)).toEqual({ host: 'c' });
  expect(forget).toHaveBeenCalledWith('c');
});

test('where hosts do not register, they are taken out of the file', async () => {
  await expect(forgetHost('a', null, open)).rejects.toThrow(/no registered host named a .*fleet file/);
});
