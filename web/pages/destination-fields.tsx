/** Where to: a host that is known by name, or an address. */
import { useState } from 'react';
import { SelectField, TextField } from '../parts/field.tsx';
import { useKnownHosts } from '../session/known-hosts.ts';

const OTHER = '';

export interface Destination {
  /** What a request names the host by; empty until one is chosen. */
  readonly to: string;
  readonly fields: React.JSX.Element;
}

export function useDestination(): Destination {
  const known = useKnownHosts();
  const [peer, setPeer] = useState(known[0]?.to ?? OTHER);
  const [address, setAddress] = useState('');
  const fields = (
    <div className="fields">
      {known.length === 0 ? null : (
        <SelectField
          label="Destination"
          value={peer}
          onChange={setPeer}
          options={[
            ...known.map(({ to: value, name: text, address: where }) => ({ value, text: `${text} (${where})` })),
            { value: OTHER, text: 'Another address…' },
          ]}
        />
      )}
      {peer === OTHER ? (
        <TextField
          label="Migration address of the other host"
          value={address}
          onChange={setAddress}
          placeholder="10.0.0.2:7710"
          hint="HOST:PORT, as that host’s own dashboard shows it. Hosts that the config names as peers can be chosen by name."
        />
      ) : null}
    </div>
  );
  return { to: peer === OTHER ? address.trim() : peer, fields };
}
