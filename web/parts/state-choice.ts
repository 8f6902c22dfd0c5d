/** The states of migrations that a list can be narrowed down to. */
import type { MigrationView } from '../../src/api/migration-schema.ts';

export type StateChoice = MigrationView['state'] | 'any';

export const MIGRATION_STATES_SHOWN: readonly { readonly value: StateChoice; readonly text: string }[] = [
  { value: 'any', text: 'Any' },
  { value: 'running', text: 'Running' },
  { value: 'completed', text: 'Completed' },
  { value: 'failed', text: 'Failed' },
  { value: 'cancelled', text: 'Cancelled' },
  { value: 'refused', text: 'Refused' },
];
