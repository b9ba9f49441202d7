/**
 * The fields of a Kubernetes Secret, as `pachctl create secret -f` takes it.
 */
import { flag, group, kept, map, mapped, needed, oneOf, text } from './shape.ts';

export const secretFields = {
  apiVersion: mapped(oneOf('v1'), 'The version of Kubernetes'),
  kind: mapped(oneOf('Secret'), 'What it is'),
  metadata: needed(
    group({
      name: needed(text, 'The name of the secret', 'a secret needs a name'),
      namespace: kept(text, 'The namespace in a cluster'),
      labels: kept(map, 'Labels'),
      annotations: kept(map, 'Annotations'),
      creationTimestamp: kept(text, 'The creation time in a cluster'),
    }),
    'What it is called',
    'a secret needs metadata with its name',
  ),
  type: mapped(text, 'The type of the secret in Kubernetes'),
  immutable: kept(flag, 'Whether Kubernetes allows changes'),
  data: mapped(map, 'Keys and their values in base64'),
  stringData: mapped(map, 'Keys and their plain values'),
};
