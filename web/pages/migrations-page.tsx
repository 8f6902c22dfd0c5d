/** All migrations that this host remembers, newest first, narrowed down by name or state. */
import { useState } from 'react';
import { SelectField, TextField } from '../parts/field.tsx';
import { useNow } from '../parts/loaded.ts';
import { PageHead, Panel } from '../parts/panel.tsx';
import { MIGRATION_STATES_SHOWN, type StateChoice } from '../parts/state-choice.ts';
import { count } from '../parts/words.ts';
import { useHostState } from '../session/host-context.ts';
import { MigrationTable } from './migration-table.tsx';

export function MigrationsPage(): React.JSX.Element {
  const { migrations } = useHostState();
  const now = useNow(10_000);
  const [name, setName] = useState('');
  const [state, setState] = useState<StateChoice>('any');
  const shown = migrations.filter(
    (migration) =>
      (state === 'any' || migration.state === state) &&
      `${migration.vm} ${migration.peer}`.toLowerCase().includes(name.trim().toLowerCase()),
  );
  return (
    <>
      <PageHead title="Migrations" />
      <div className="fields" style={{ maxWidth: 560 }}>
        <TextField label="VM or host" value={name} onChange={setName} placeholder="part of a name" />
        <SelectField label="State" value={state} options={MIGRATION_STATES_SHOWN} onChange={setState} />
      </div>
      <Panel title={count(shown.length, 'migration')} flush={shown.length > 0}>
        {shown.length === 0 ? (
          <p className="empty">
            {migrations.length === 0
              ? 'No migration was started here yet: choose Migrate… beside a VM on the overview.'
              : 'None is like this. Clear the fields above to see all.'}
          </p>
        ) : (
          <MigrationTable migrations={shown} nowMs={now} />
        )}
      </Panel>
    </>
  );
}
