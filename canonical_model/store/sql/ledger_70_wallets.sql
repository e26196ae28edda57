-- Wallets: which accounts one person may spend from. Postings never change because of a merge.

-- Put holders' accounts into a wallet, and note it; a holder whose wallet bears their own name needs no row. Whoever changes wallets
-- has called ledger_change_wallets.
CREATE OR REPLACE FUNCTION ledger_put_into_wallet(p_owner text, p_holders text[], p_wallet text) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
    INSERT INTO ledger_wallet_change (owner, holder, wallet)
    SELECT p_owner, each.holder, p_wallet FROM unnest(p_holders) AS each (holder) ORDER BY each.holder;
    INSERT INTO ledger_wallet (owner, holder, wallet)
    SELECT p_owner, each.holder, p_wallet FROM unnest(p_holders) AS each (holder) ORDER BY each.holder
    ON CONFLICT (owner, holder) DO UPDATE SET wallet = excluded.wallet;
    DELETE FROM ledger_wallet WHERE owner = p_owner AND holder = ANY (p_holders) AND holder = wallet;
    PERFORM FROM ledger_account AS account
    WHERE account.id = ANY (ARRAY(
        SELECT own.id FROM ledger_asset AS asset CROSS JOIN unnest(p_holders) AS each (holder)
        JOIN ledger_account AS own
            ON own.asset_id = asset.id AND own.holder = each.holder AND own.kind IN ('member', 'arrears')
        WHERE asset.owner = p_owner))
    ORDER BY account.id FOR NO KEY UPDATE;
    UPDATE ledger_account AS account SET wallet = p_wallet
    WHERE account.id = ANY (ARRAY(
        SELECT own.id FROM ledger_asset AS asset CROSS JOIN unnest(p_holders) AS each (holder)
        JOIN ledger_account AS own
            ON own.asset_id = asset.id AND own.holder = each.holder AND own.kind IN ('member', 'arrears')
        WHERE asset.owner = p_owner));
END
$$;

CREATE OR REPLACE TRIGGER ledger_wallet_change_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_wallet_change
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
