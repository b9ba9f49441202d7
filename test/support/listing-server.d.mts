/** `asked` are the paths of the requests so far. */
export function listingServer(count: number): Promise<{ url: string; asked: string[]; close(): void }>;
