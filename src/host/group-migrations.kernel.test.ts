import { readdirSync, truncateSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { identifyFile } from '../linux/file-users.ts';
import { GroupMigrations, type GroupMigrationsOptions } from './group-migrations.ts';
import { Peers } from './peers.ts';

test('a group to which a VM comes while it is looked at is refused: nobody would watch that VM', async () => {
  using directory = new TempDirectory();
  const path = directory.join('region');
  writeFileSync(path, '');
  truncateSync(path, 4096);
  const regions = [{ ...identifyFile(path)!, name: 'bus', path, isOurs: true, members: [] }];
  const looks = [['a'], ['a', 'b']];
  const groups = { get: () => ({ name: 'bus', vms: looks.shift()!, regions }) };
  const rest = { peers: new Peers({}), stateDirectory: directory.path, coming: () => [] };
  const options = { ...rest, registry: { groups, list: () => [], regions: {} } };
  const migrations = new GroupMigrations(options as unknown as GroupMigrationsOptions);
  await expect(migrations.start('bus', { to: '127.0.0.1:7810' })).rejects.toThrow('its VMs were others a moment ago');
  expect(readdirSync(directory.join('groups-leaving'))).toEqual([]);
});
