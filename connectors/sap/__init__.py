"""SAP ERP and S/4HANA: material master by IDoc, stock by OData, sales orders out as ORDERS05."""
