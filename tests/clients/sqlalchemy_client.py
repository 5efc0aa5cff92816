"""SQLAlchemy: the inspector, reflection, and a statement over reflected tables."""
import sys

import sqlalchemy as sa

engine = sa.create_engine(f"postgresql+psycopg://u@127.0.0.1:{sys.argv[1]}/satisflow")
inspector = sa.inspect(engine)
print(inspector.get_schema_names())
print(sorted(inspector.get_table_names()))
print(sorted(inspector.get_view_names()))
columns = {column["name"]: column for column in inspector.get_columns("kpis")}
print({name: str(columns[name]["type"]) for name in ["kpi", "value", "n", "window_end", "se"]})
print(columns["kpi"]["nullable"], columns["department"]["nullable"])
print(inspector.get_pk_constraint("kpis"), inspector.get_foreign_keys("kpis"), inspector.get_indexes("kpis"))
print(inspector.get_unique_constraints("kpis"), inspector.get_check_constraints("kpis"))
print(inspector.has_table("kpis"), inspector.has_table("nothing"), inspector.get_table_comment("kpis"))
metadata = sa.MetaData()
metadata.reflect(engine, views=True)
print(len(metadata.tables))
kpis = metadata.tables["kpi_latest"]
with engine.connect() as connection:
    query = sa.select(kpis.c.kpi, sa.func.count()).where(kpis.c.kpi == "csat").group_by(kpis.c.kpi)
    print(connection.execute(query).one().kpi)
    try:
        connection.execute(sa.delete(kpis))
    except sa.exc.DBAPIError as error:
        print(error.orig.sqlstate)
