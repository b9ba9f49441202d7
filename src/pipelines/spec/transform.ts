/**
 * What runs: command, environment and secrets of a spec, checked.
 */
import type { SecretUse, Transform } from './spec.ts';
import { Fault, type Path } from './fault.ts';
import type { specFields } from './fields.ts';
import { placeOf } from './names.ts';
import { isSecretKey, isSecretName } from './secret-names.ts';
import type { ValuesOf } from './values.ts';

type TransformValues = ValuesOf<typeof specFields>['transform'];

const imageDefault = 'ubuntu:20.04';

export function buildTransform(values: TransformValues, path: Path): Transform {
  checkCommand(values.cmd, [...path, 'cmd']);
  if (values.errCmd && values.errCmd.length > 0) checkCommand(values.errCmd, [...path, 'errCmd']);
  const errCmd = orUndefined(values.errCmd);
  const errStdin = orUndefined(values.errStdin);
  if (errStdin && !errCmd) throw new Fault([...path, 'errStdin'], 'it needs an err_cmd that reads it');
  const env = values.env ?? {};
  for (const name of Object.keys(env)) checkVariable(name, [...path, 'env', name]);
  const workingDir = values.workingDir || undefined;
  if (workingDir !== undefined && !workingDir.startsWith('/')) {
    throw new Fault([...path, 'workingDir'], 'it must be an absolute path');
  }
  return {
    image: values.image || imageDefault,
    cmd: values.cmd,
    stdin: orUndefined(values.stdin),
    errCmd,
    errStdin,
    acceptReturnCode: values.acceptReturnCode ?? [],
    env,
    secrets: (values.secrets ?? []).map((each, index) => buildSecret(each, [...path, 'secrets', index])),
    user: values.user || undefined,
    workingDir,
    datumBatching: values.datumBatching ?? false,
    memoryVolume: values.memoryVolume ?? false,
  };
}

/** An empty list is no list. */
function orUndefined(list: readonly string[] | undefined): readonly string[] | undefined {
  return list && list.length > 0 ? list : undefined;
}

function checkCommand(words: readonly string[], path: Path): void {
  if (words.length === 0) throw new Fault(path, 'invalid pipeline transform, no command specified');
  if (words[0] === '') throw new Fault([...path, 0], 'the name of the program is empty');
}

function checkVariable(name: string, path: Path): void {
  if (name.includes('=')) throw new Fault(path, "names of variables can't contain =");
}

type SecretValues = NonNullable<TransformValues['secrets']>[number];

function buildSecret(values: SecretValues, path: Path): SecretUse {
  const { name } = values;
  const [key, mountPath, envVar] = [values.key || undefined, values.mountPath || undefined, values.envVar || undefined];
  if (!isSecretName(name)) throw new Fault([...path, 'name'], 'names of secrets may have only a-z, 0-9, - and .');
  if (key !== undefined && !isSecretKey(key)) {
    throw new Fault([...path, 'key'], 'keys of secrets may have only letters, digits, -, _ and .');
  }
  if (mountPath === undefined && envVar === undefined) {
    throw new Fault(path, 'a secret needs a mount_path or an env_var');
  }
  if (envVar !== undefined) {
    checkVariable(envVar, [...path, 'envVar']);
    if (key === undefined) throw new Fault(path, `secret ${name} has env_var set but is missing key`);
  }
  return {
    name,
    key,
    mountPath: mountPath === undefined ? undefined : placeOf(mountPath, [...path, 'mountPath']),
    envVar,
  };
}
