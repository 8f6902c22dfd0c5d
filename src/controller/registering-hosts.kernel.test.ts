/** Real daemons that register, and real controllers that know them only by that. */
import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { TestController } from '../../test/support/godwit-controller.ts';
import { startHost, type TestHost } from '../../test/support/godwit-host.ts';
import { checkLeaks } from '../../test/support/leak-check.ts';
import { NatsServer } from '../../test/support/nats-server.ts';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import type { FleetHostView } from '../api/fleet-schema.ts';
import { GodwitClient } from '../client/godwit-client.ts';

checkLeaks();

const TOKEN = 'a-token-of-all-hosts-that-register';

requireCapability('nats')('daemons that register', () => {
  test('are planned with, ended, back at another address, and forgotten; controllers come and go', async () => {
    await using open = new AsyncDisposableStack();
    const directory = open.use(new TempDirectory());
    const server = open.use(await NatsServer.open());
    writeFileSync(directory.join('key'), `${'k'.repeat(32)}\n`);
    writeFileSync(directory.join('token'), `${TOKEN}\n`);
    const fleet = directory.join('fleet.yaml');
    writeFileSync(fleet, 'hosts: {}\nregister: {fleetKeyFile: key, tokenFile: token, rate: 1Gbit/s}\n');
    const nats = ['--nats', server.url];
    const controller = open.use(await TestController.open({ name: 'c', fleet, args: nats }));

    const daemon = (name: string): Promise<TestHost> => {
      const args = ['--fleet-nats', server.url, '--fleet-key-file', directory.join('key')];
      return startHost({ name, args: [...args, '--token-file', directory.join('token')] });
    };
    const shows = (
      what: string,
      isSo: (hosts: readonly FleetHostView[]) => boolean,
    ): Promise<readonly FleetHostView[]> =>
      waitUntil(what, async () => {
        const { hosts } = await controller.client.fleet();
        return isSo(hosts) && hosts;
      });
    const isUp = ({ state, registration }: FleetHostView): boolean => state === 'up' && registration?.beats === true;

    const a = open.use(await daemon('a'));
    // One that has the name of a daemon that lives.
    const [b, twin] = await Promise.all([daemon('b'), daemon('a')]);
    open.use(b);
    open.use(twin);
    const hosts = await shows('both are up', (all) => all.length === 2 && all.every(isUp));
    expect(hosts).toMatchObject([
      { name: 'a', api: a.api, migration: a.migration, takesVms: true, rateBytesPerSecond: 125_000_000 },
      { name: 'b', api: b.api },
    ]);
    expect(await controller.client.plan({ host: 'a' })).toMatchObject({ moves: [], refused: [] });

    const client = new GodwitClient({ url: twin.api, token: TOKEN });
    open.defer(() => client.close());
    const { registration } = await waitUntil('it is refused', async () => {
      const view = await client.host();
      return view.registration?.state === 'refused' && view;
    });
    expect(registration?.reason).toMatch(/another daemon named a is registered with .*, and lives/);
    expect(twin.log).toMatch(/not registered with the fleet/);
    await expect(controller.client.forgetHost('a')).rejects.toThrow(/its daemon lives/);
    await twin.stop();

    // The next controller knows them at once, and the last of both is gone.
    await b.stop();
    await shows('b is ended', (all) => all.some(({ name, state }) => name === 'b' && state === 'silent'));
    await controller.kill();
    await controller.start();
    const known = (await controller.client.fleet()).hosts.map(({ name }) => name);
    expect(known).toEqual(['a', 'b']);
    await shows('a is up again', (all) => all.some((host) => host.name === 'a' && isUp(host)));

    const later = open.use(await daemon('b'));
    expect(later.api).not.toBe(b.api);
    await shows('b is elsewhere', (all) => all.some((host) => host.api === later.api && isUp(host)));
    await later.stop();
    await shows('b is ended again', (all) =>
      all.some((host) => host.name === 'b' && host.registration?.beats === false),
    );
    expect((await controller.cli('forget', 'b')).stdout).toBe('b is forgotten.\n');
    expect((await controller.cli('status')).stdout).toMatch(/^a +up +registration(?!.*^b)/ms);
    await expect(controller.client.forgetHost('b')).rejects.toThrow(/There is no registered host named b/);
  }, 120_000);
});
