/** The phases of a migration in a row, the present one marked. */
import type { MigrationView } from '../../src/api/migration-schema.ts';
import { INCOMING_STEPS, OUTGOING_STEPS } from '../parts/words.ts';

export function PhaseSteps({ migration }: { migration: MigrationView }): React.JSX.Element {
  const steps = migration.direction === 'outgoing' ? OUTGOING_STEPS : INCOMING_STEPS;
  return (
    <ol className="steps" aria-label="Phases">
      {steps.map(({ phase, text }) => (
        <li key={phase} aria-current={phase === migration.phase ? 'step' : undefined}>
          {text}
        </li>
      ))}
    </ol>
  );
}

export function stepText(phase: string): string {
  return [...OUTGOING_STEPS, ...INCOMING_STEPS].find((step) => step.phase === phase)?.text ?? phase;
}
