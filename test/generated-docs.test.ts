import type { Command } from 'commander';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { CheckResultSchema } from '../src/api/check-schema.ts';
import { EventBodySchema } from '../src/api/event-schema.ts';
import { FleetEventBodySchema } from '../src/api/fleet-event-schema.ts';
import type { FleetService } from '../src/api/fleet-service.ts';
import { GroupMigrateSchema, GroupMigrationSchema } from '../src/api/group-migration-schema.ts';
import { GroupDetailSchema } from '../src/api/group-schema.ts';
import { HostSchema, TuneHostSchema } from '../src/api/host-schema.ts';
import { MigrateSchema, MigrationSchema, ProgressSchema, TuneSchema } from '../src/api/migration-schema.ts';
import { RIGHTS } from '../src/api/right.ts';
import { buildApiServer, buildFleetApiServer } from '../src/api/server.ts';
import type { HostService } from '../src/api/service.ts';
import { TokensSchema } from '../src/api/tokens-file.ts';
import { UpgradeReportSchema, UpgradeSchema } from '../src/api/upgrade-schema.ts';
import { AdoptSchema, StopSchema, VmSchema, VmSpecSchema } from '../src/api/vm-schema.ts';
import { CommandContext } from '../src/cli/command-context.ts';
import { PROCESS_IO } from '../src/cli/io.ts';
import { createProgram } from '../src/cli/main.ts';
import { HostConfigSchema } from '../src/host/config-schema.ts';
import { accessWith } from './support/api-access.ts';
import { comparePart, fieldTable } from './support/generated-docs.ts';

test.each([
  ['spec.md', 'VmSpec', VmSpecSchema, 'input'],
  ['spec.md', 'HostConfig', HostConfigSchema, 'input'],
  ['spec.md', 'Token', TokensSchema.element, 'input'],
  ['api.md', 'MigrateRequest', MigrateSchema, 'input'],
  ['api.md', 'TuneRequest', TuneSchema, 'input'],
  ['api.md', 'AdoptRequest', AdoptSchema, 'input'],
  ['api.md', 'StopRequest', StopSchema, 'input'],
  ['api.md', 'UpgradeRequest', UpgradeSchema, 'input'],
  ['api.md', 'UpgradeReport', UpgradeReportSchema, 'output'],
  ['api.md', 'Vm', VmSchema, 'output'],
  ['api.md', 'Group', GroupDetailSchema, 'output'],
  [
    'api.md',
    'GroupMigrateRequest',
    z.object({ order: GroupMigrateSchema.shape.order, first: GroupMigrateSchema.shape.first }),
    'input',
  ],
  ['api.md', 'GroupMigration', GroupMigrationSchema, 'output'],
  ['api.md', 'Migration', MigrationSchema.omit({ report: true, options: true, progress: true }), 'output'],
  ['api.md', 'MigrationProgress', ProgressSchema, 'output'],
  ['api.md', 'CheckResult', CheckResultSchema, 'output'],
  ['api.md', 'Host', HostSchema, 'output'],
  ['api.md', 'TuneHostRequest', TuneHostSchema, 'input'],
] as const)('docs/%s: the fields of %s are those of the schema', (file, name, schema, io) => {
  const { documented, generated } = comparePart(file, name, fieldTable(schema as z.ZodType, io));
  expect(documented).toBe(generated);
});

const SERVER = { access: accessWith(null), version: '0.0.0' };

test.each([
  ['api.md', () => buildApiServer({ service: {} as HostService, ...SERVER })],
  ['fleet.md', () => buildFleetApiServer({ service: {} as FleetService, ...SERVER })],
])('docs/%s: the routes are those of the server', async (file, build) => {
  const app = await build();
  const { paths } = app.swagger() as unknown as {
    paths: Record<string, Record<string, { summary: string; security: [object, { token: string[] }] }>>;
  };
  const routes = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(
      ([method, { summary, security }]) =>
        `| ${method.toUpperCase()} | \`${path}\` | ${rightWords(security[1].token)} | ${summary} |`,
    ),
  );
  const table = ['| method | path | right | |', '|---|---|---|---|', ...routes].join('\n');
  const { documented, generated } = comparePart(file, 'routes', table);
  await app.close();
  expect(documented).toBe(generated);
});

test.each([
  ['api.md', EventBodySchema],
  ['fleet.md', FleetEventBodySchema],
])('docs/%s: the kinds of events are those of the schema', (file, schema) => {
  const rows = schema.options.map((option) => {
    const { kind, ...rest } = option.shape;
    return `| \`${kind.value}\` | ${Object.keys(rest)
      .map((field) => `\`${field}\``)
      .join(' ')} |`;
  });
  const table = ['| kind | with |', '|---|---|', ...rows].join('\n');
  const { documented, generated } = comparePart(file, 'events', table);
  expect(documented).toBe(generated);
});

test('docs/cli.md: the options are those of the commands', () => {
  const program = createProgram(new CommandContext(PROCESS_IO));
  const texts = listCommands(program).map((command) => {
    command.configureHelp({ showGlobalOptions: false, helpWidth: 110 });
    return `### ${pathOf(command)}\n\n\`\`\`\n${command.helpInformation().trimEnd()}\n\`\`\``;
  });
  const { documented, generated } = comparePart('cli.md', 'commands', texts.join('\n\n'));
  expect(documented).toBe(generated);
});

/** Of a route that can need each of several what the text says of it. */
function rightWords(rights: readonly string[]): string {
  if (rights.length === RIGHTS.length) return 'that of the host’s route';
  return rights.length === 0 ? 'any' : rights.map((right) => `\`${right}\``).join(' or ');
}

function listCommands(command: Command): Command[] {
  const children = command.commands.filter((child) => child.name() !== 'help');
  const own = children.length === 0 || command.parent === null ? [command] : [];
  return [...own, ...children.flatMap(listCommands)];
}

function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}
