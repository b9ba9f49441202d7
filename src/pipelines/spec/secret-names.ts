/**
 * Names of secrets and of their keys, as Kubernetes has them; both are safe as names of files.
 */

/** Of a file's name, with some room for what we add. */
const lengthMax = 240;

export function isSecretName(name: string): boolean {
  return name.length <= lengthMax && /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/.test(name);
}

export function isSecretKey(key: string): boolean {
  return key.length <= lengthMax && /^[A-Za-z0-9._-]+$/.test(key) && !/^\.\.?$/.test(key);
}
